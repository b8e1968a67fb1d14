"""`python -m tests.cli.timeline_picture`: draws docs/timeline.svg, of made-up jobs."""

from bbq.cli.timeline_bars import Panel, bars_of, panel
from bbq.cli.timeline_page import page
from bbq.shared import events as e
from local.settings import ROOT
from tests.cli.lives import HOUR, histories
from tests.support.samples import at

FILE = ROOT / "docs" / "timeline.svg"


def picture() -> str:
    """Sixty jobs of two models over a day: the SVG of the page, which stands alone."""
    pause = [
        e.ModelPaused(at=at(1.2 * HOUR), by="ada", why=""),
        e.ModelResumed(at=at(2.2 * HOUR), by="ada", why=""),
    ]
    html = page(
        "bbq",
        [made_up("haiku", 40, 4), made_up("nova", 20, 2, *pause)],
        at(0),
        at(24 * HOUR),
        notes=[],
    )
    return html[html.index("<svg") : html.index("</svg>")] + "</svg>\n"


def made_up(model: str, jobs: int, limit: int, *changes: e.Event) -> Panel:
    """A panel of so many jobs."""
    found, configured = histories(jobs, limit=limit, model=model)
    bars = [bar for job, events in found.items() for bar in bars_of(job, events)]
    return panel(model, bars, [*configured, *changes], at(0), at(24 * HOUR))


if __name__ == "__main__":
    FILE.write_text(picture(), "utf-8")
