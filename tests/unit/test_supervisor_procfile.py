import pytest

from deploy.supervisor import Process, parse_procfile, scaled


def test_a_procfile_names_its_commands():
    text = (
        """
    # what runs
    """.strip()
        + "\nweb: granian --port ${PORT:-5678} app\n\ncalls-otp:   dramatiq  workers.main:start  \n"
    )

    commands = parse_procfile(text)

    assert commands == {
        "web": "granian --port ${PORT:-5678} app",
        "calls-otp": "dramatiq  workers.main:start",
    }


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("web", "line 2 is not 'name: command'"),
        ("web:", "line 2 is not 'name: command'"),
        ("two words: run", "line 2 is not 'name: command'"),
        ("first: again", "names first a second time"),
    ],
)
def test_a_procfile_line_that_makes_no_sense_is_named(line, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_procfile(f"first: run\n{line}\n")


def test_a_string_command_lets_the_shell_expand_it_and_a_list_stays_as_it_is():
    assert Process(name="web", command="serve $PORT").argv() == ["/bin/sh", "-c", "exec serve $PORT"]
    assert Process(name="web", command=["serve", "$PORT"]).argv() == ["serve", "$PORT"]


def test_scaling_changes_only_the_named_processes():
    processes = [Process(name="web", command="w"), Process(name="calls", command="c")]

    counts = {process.name: process.count for process in scaled(processes, {"calls": 4})}

    assert counts == {"web": 1, "calls": 4}


@pytest.mark.parametrize(
    ("counts", "complaint"),
    [({"cals": 2}, "no process 'cals'; there are web"), ({"web": -1}, "cannot run -1 times")],
)
def test_scaling_refuses_what_cannot_be(counts, complaint):
    with pytest.raises(ValueError, match=complaint):
        scaled([Process(name="web", command="w")], counts)
