"""The local tools: clear sentences where something is missing, and nothing of anybody else's is
touched.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local import demo, deploy, emulators, setup_localstack, stack
from local.settings import ROOT, local_environment
from local.terraform_plugins import plugin_directory


def mirror(at: Path) -> Path:
    (at / "registry.terraform.io" / "hashicorp" / "aws").mkdir(parents=True)
    return at


def test_a_provider_mirror_is_found_a_few_levels_deep(tmp_path: Path) -> None:
    made = mirror(tmp_path / "a" / "b" / "c")
    assert plugin_directory({}, [str(tmp_path)]) == made
    assert plugin_directory({}, [str(tmp_path / "nothing")]) is None


def test_an_empty_or_too_deep_mirror_is_none(tmp_path: Path) -> None:
    (tmp_path / "registry.terraform.io").mkdir()
    mirror(tmp_path / "1" / "2" / "3" / "4" / "5")
    assert plugin_directory({}, [str(tmp_path)]) is None


def test_the_environment_names_the_mirror_first(tmp_path: Path) -> None:
    assert plugin_directory({"TF_PLUGIN_DIR": str(tmp_path)}, []) == tmp_path


def test_real_credentials_and_profiles_never_reach_a_local_command() -> None:
    real = {
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        "AWS_PROFILE": "prod",
        "HOME": "/h",
    }
    made = local_environment(real)
    assert (made["AWS_ACCESS_KEY_ID"], made["AWS_SECRET_ACCESS_KEY"], made["HOME"]) == (
        "test",
        "test",
        "/h",
    )
    assert not {"AWS_SESSION_TOKEN", "AWS_PROFILE"} & set(made)


def test_the_shell_gets_our_tools_and_the_names_of_what_is_deployed(tmp_path: Path) -> None:
    before = stack.shell_settings(tmp_path)
    assert before["AWS_ENDPOINT_URL"]
    assert before["PATH"].startswith(str(ROOT / ".venv" / "bin"))
    assert "BUCKET" not in before
    (tmp_path / "terraform").mkdir()
    outputs = {
        "bucket": {"value": "a-bucket"},
        "events_table": {"value": "a-table"},
        "limits": {"value": {}},
    }
    (tmp_path / "terraform" / "terraform.tfstate").write_text(json.dumps({"outputs": outputs}))
    assert set(stack.shell_settings(tmp_path).items()) - set(before.items()) == {
        ("BUCKET", "a-bucket"),
        ("EVENTS", "a-table"),
    }


def test_endpoints_come_from_the_environment() -> None:
    made = local_environment({"AWS_ENDPOINT_URL_BEDROCK": "http://127.0.0.1:9999"})
    assert (made["AWS_ENDPOINT_URL"], made["AWS_ENDPOINT_URL_BEDROCK"]) == (
        "http://127.0.0.1:4566",
        "http://127.0.0.1:9999",
    )


def test_a_busy_port_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        url = f"http://127.0.0.1:{busy.getsockname()[1]}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", url)
            with pytest.raises(
                stack.StackError,
                match=r"port \d+ is busy: stop what listens there, or set AWS_ENDPOINT_URL",
            ):
                stack.up(record=tmp_path / "stack.json")
    assert not (tmp_path / "stack.json").exists()


def test_an_endpoint_elsewhere_is_nothing_to_start(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://emulator.example:4566")
        with pytest.raises(stack.StackError, match="make deploy-local"):
            stack.up(record=tmp_path / "stack.json")


def test_a_stack_that_is_up_is_not_started_twice(tmp_path: Path) -> None:
    record = tmp_path / "stack.json"
    record.write_text("{}")
    with pytest.raises(stack.StackError, match="make down"):
        stack.up(record=record)


def test_down_ends_nothing_that_has_taken_over_an_old_process_id(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        record = tmp_path / "stack.json"
        record.write_text(json.dumps({"ministack": stranger.pid}))
        assert stack.down(record) == []
        assert stranger.poll() is None
        assert not record.exists()
    finally:
        stranger.kill()
        stranger.wait()


def test_an_emulator_that_nobody_knows_is_one_sentence() -> None:
    with pytest.raises(
        emulators.UnknownEmulator, match="EMULATOR is moto: say ministack or localstack"
    ):
        emulators.chosen({"EMULATOR": "moto"})
    assert emulators.chosen({"EMULATOR": ""}) == emulators.chosen({}) == "ministack"


@pytest.mark.parametrize("name", ["ministack", "localstack"])
def test_an_emulator_listens_on_loopback_only_and_is_told_by_its_command(
    tmp_path: Path, name: str
) -> None:
    found = emulators.described(name, 4711, "eu-west-1", tmp_path)
    places = [
        value
        for setting, value in found.settings.items()
        if setting in {"BIND_HOST", "GATEWAY_LISTEN"}
    ]
    assert places
    assert all(place.startswith("127.0.0.1") for place in places)
    assert any(name in word for word in found.command)


def test_what_localstack_keeps_is_in_its_own_directory(tmp_path: Path) -> None:
    settings = emulators.described("localstack", 4711, "eu-west-1", tmp_path).settings
    for setting in (
        "FILESYSTEM_ROOT",
        "LOCALSTACK_VOLUME_DIR",
        "CONFIG_DIR",
        "XDG_CACHE_HOME",
        "TMPDIR",
        "BBQ_CUT_OFF",
    ):
        assert Path(settings[setting]).is_relative_to(tmp_path), setting


def test_localstack_that_is_not_set_up_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulators, "LOCALSTACK_PYTHON", tmp_path / "no" / "python")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK", "http://127.0.0.1:2")
    with pytest.raises(
        stack.StackError, match="localstack is not set up: say `make up EMULATOR=localstack`"
    ):
        stack.up(record=tmp_path / "stack.json", emulator="localstack")
    assert not (tmp_path / "stack.json").exists()


def test_without_python_313_setting_up_localstack_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup_localstack, "missing", lambda: "this machine has no Python 3.13")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing may be made"))
    assert setup_localstack.main() == 1
    assert capsys.readouterr().err.startswith("LocalStack needs Python 3.13, and there is none")


def test_cut_off_invocations_are_counted_by_function_and_source(tmp_path: Path) -> None:
    assert not stack.cut_off(tmp_path / "stack.json")
    lines = [
        {"function": "f", "source": "aws:sqs"},
        {"function": "f", "source": "aws:dynamodb"},
        {"function": "f", "source": "aws:sqs"},
    ]
    (tmp_path / emulators.CUT_OFF).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert stack.cut_off(tmp_path / "stack.json") == {("f", "aws:sqs"): 2, ("f", "aws:dynamodb"): 1}


def test_down_without_up_does_nothing(tmp_path: Path) -> None:
    assert stack.down(tmp_path / "stack.json") == []


def test_refills_are_measured_from_an_end_to_the_create_that_took_its_slot() -> None:
    jobs = [
        {"modelId": "m", "epoch_seconds": {"Submitted": 0.0, "Completed": 10.0}},
        {"modelId": "m", "epoch_seconds": {"Submitted": 1.0, "Completed": 5.0}},
        {"modelId": "m", "epoch_seconds": {"Submitted": 5.5, "Failed": 20.0}},
        {"modelId": "m", "epoch_seconds": {"Submitted": 10.25, "Completed": 30.0}},
        {"modelId": "other", "epoch_seconds": {"Submitted": 0.0}},
    ]
    assert demo.refill_gaps(jobs, "m", 2) == [0.5, 0.25]


def test_a_second_file_of_variables_is_not_mixed_with_the_first(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "terraform").mkdir()
    (tmp_path / "terraform" / "prod.tfvars").touch()
    asked = ["make", "-s", "one-file", "TF_VARS=prod.tfvars"]
    assert subprocess.run(asked, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "terraform" / "terraform.tfvars").touch()
    refused = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert refused.stdout.startswith(
        "Terraform reads terraform/terraform.tfvars beside prod.tfvars: give it another name"
    )
    assert (
        subprocess.run(
            [*asked[:-1], "TF_VARS=terraform.tfvars"],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )


def test_a_missing_terraform_is_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path)}
    shown = subprocess.run(
        [sys.executable, "-m", "local.deploy", "output", "bucket"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1
    assert (
        shown.stderr.strip()
        == "deploy: terraform is not installed: install Terraform 1.11 or later, then run this "
        "again"
    )


def test_an_emulator_that_does_not_answer_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(deploy.DeployError, match="run `make up` first"):
        deploy.apply(work=tmp_path)
