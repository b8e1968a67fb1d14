"""`python -m tests.cli.timeline_picture FILE.png`: the picture of docs/timeline.md, of made-up jobs. Needs Chromium."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from plotly.offline import get_plotlyjs

from cli.lanes import Panel, life, panel
from cli.timeline_page import page
from shared import events as e
from tests.cli.lives import HOUR, histories
from tests.support import browser
from tests.support.samples import at

WIDTH, HEIGHT = 1200, 850


def main() -> None:
    """Draw sixty jobs of two models over a day."""
    panels = [_panel("haiku", 40, 4), _panel("nova", 20, 2)]
    html = page("bbq", panels, at(0), at(24 * HOUR), notes=[], plotly=get_plotlyjs())
    with TemporaryDirectory() as folder, browser.browser(WIDTH, HEIGHT) as shown:
        file = Path(folder) / "timeline.html"
        file.write_text(html, "utf-8")
        shown.open(file, "document.body?.dataset.drawn === 'yes'")
        Path(sys.argv[1]).write_bytes(shown.picture())


def _panel(model: str, jobs: int, limit: int) -> Panel:
    found, configured = histories(jobs, limit=limit, model=model)
    if model == "nova":
        configured += [e.ModelPaused(at=at(1.2 * HOUR), by="ada", why=""), e.ModelResumed(at=at(2.2 * HOUR), by="ada", why="")]
    lives = [one for job, events in found.items() if (one := life(job, events))]
    return panel(model, lives, configured, at(0), at(24 * HOUR))


if __name__ == "__main__":
    main()
