"""The processes behind the media inspector: confined, replaced when lost, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from genjobs.adapters.media_inspection import SubprocessInspector, verdicts
from genjobs.adapters.media_inspection.inspector import _verdict
from genjobs.adapters.media_inspection.verdicts import Found, Reason, Refused, Unreadable
from genjobs.adapters.media_inspection.warm_process import End
from genjobs.domain.errors import (
    GenjobsError,
    InspectionFailed,
    MediaContentRefused,
    MediaTypeRefused,
    Unavailable,
)
from genjobs.domain.media import PNG
from genjobs.domain.media_limits import MediaLimits
from genjobs.testing import png_bytes
from tests.integration.inspecting import LONG, children, runs, until
from tests.media_files import encoded, png, png_header, tiny_gif

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc")

LIMITS = MediaLimits(picture_total_pixels=10**11)
#: Takes some seconds to decode.
SLOW = tiny_gif(900, 1_600, 1_600)


@pytest.fixture
async def inspector() -> AsyncIterator[SubprocessInspector]:
    async with SubprocessInspector(LIMITS) as opened:
        yield opened


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    path = tmp_path / "slow"
    path.write_bytes(SLOW)
    return path


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    path = tmp_path / "quick"
    path.write_bytes(png_bytes())
    return path


async def warm_process(inspector: SubprocessInspector, before: set[int] | None = None) -> int:
    """Return the process that forks, started if it was not."""
    known = set(children(os.getpid())) if before is None else before
    await inspector.check()
    (pid,) = set(children(os.getpid())) - known
    return pid


async def test_nothing_runs_before_the_first_accepted_file(
    inspector: SubprocessInspector, tmp_path: Path, quick: Path
) -> None:
    before = children(os.getpid())
    page = tmp_path / "page"
    page.write_bytes(b"<html>")
    with pytest.raises(MediaTypeRefused):
        await inspector.inspect(page)
    assert children(os.getpid()) == before

    await inspector.inspect(quick)
    assert len(children(os.getpid())) == len(before) + 1


async def test_confined_process_has_nothing_but_its_file(
    inspector: SubprocessInspector, slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENJOBS_SECRET", "one")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "two")
    monkeypatch.setenv("PYTHONPATH", "three")
    pid = await warm_process(inspector)
    task = asyncio.create_task(inspector.inspect(slow))
    await until(lambda: bool(children(pid)))
    (child,) = children(pid)
    await until(lambda: "Max open files            0 " in Path(f"/proc/{child}/limits").read_text())

    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{child}/status").read_text().splitlines()
    )
    limits = {
        line[:26].strip(): line[26:].split()
        for line in Path(f"/proc/{child}/limits").read_text().splitlines()
    }
    opened = {int(name) for name in os.listdir(f"/proc/{child}/fd")}
    for process in (pid, child):
        environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
        names = {entry.split(b"=")[0] for entry in environment if entry}
        assert names <= {b"LANG", b"LC_ALL", b"LC_CTYPE", b"LD_LIBRARY_PATH"}
    assert opened == {0, 1, 2}
    assert os.readlink(f"/proc/{child}/fd/0") == str(slow)
    assert os.readlink(f"/proc/{child}/fd/2") == "/dev/null"
    assert status["NoNewPrivs"] == "1"
    assert status["Threads"] == "1"
    assert Path(f"/proc/{child}/oom_score_adj").read_text() == "1000\n"
    if os.geteuid() == 0:
        assert set(status["Uid"].split()) == {"65534"}
        assert set(status["Gid"].split()) == {"65534"}
        assert set(status["CapEff"]) == {"0"}
    for name in ("Max file size", "Max core file size", "Max open files", "Max processes"):
        assert limits[name][:2] == ["0", "0"], name
    assert limits["Max cpu time"][:2] == [str(LIMITS.cpu_seconds), str(LIMITS.cpu_seconds + 1)]
    assert 0 < int(limits["Max address space"][1]) - LIMITS.memory_bytes < 1024**3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_file_of_which_the_confined_process_needs_no_right_to_the_folder(
    inspector: SubprocessInspector, tmp_path: Path
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    path = folder / "picture"
    path.write_bytes(png_bytes())
    path.chmod(0o600)
    assert (await inspector.inspect(path)).media_type is PNG


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "device"])
async def test_only_a_file_itself_is_opened(
    inspector: SubprocessInspector, tmp_path: Path, quick: Path, kind: str
) -> None:
    path = tmp_path / kind
    match kind:
        case "link":
            path.symlink_to(quick)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path = Path("/dev/zero")
    with pytest.raises(Unavailable):
        await asyncio.wait_for(inspector.inspect(path), LONG)


async def test_process_that_was_killed_between_two_files_is_replaced(
    inspector: SubprocessInspector, quick: Path
) -> None:
    before = set(children(os.getpid()))
    first = await warm_process(inspector)
    await inspector.inspect(quick)
    os.kill(first, signal.SIGKILL)
    await until(lambda: not runs(first))

    await inspector.inspect(quick)
    assert await warm_process(inspector, before) != first


async def test_process_that_was_killed_during_an_inspection_is_replaced_once(
    inspector: SubprocessInspector, slow: Path, quick: Path
) -> None:
    before = set(children(os.getpid()))
    first = await warm_process(inspector)
    task = asyncio.create_task(inspector.inspect(slow))
    await until(lambda: bool(children(first)))
    (confined,) = children(first)
    os.kill(first, signal.SIGKILL)

    facts = await asyncio.wait_for(task, LONG)
    assert facts.frames == 900
    await until(lambda: not runs(confined))

    second = await warm_process(inspector, before)
    task = asyncio.create_task(inspector.inspect(slow))
    await until(lambda: bool(children(second)))
    os.kill(second, signal.SIGKILL)
    third = second
    while third == second:
        await asyncio.sleep(0.005)
        (third,) = (set(children(os.getpid())) - before) or {second}
    await until(lambda: bool(children(third)))
    os.kill(third, signal.SIGKILL)
    with pytest.raises(InspectionFailed):
        await asyncio.wait_for(task, LONG)

    assert (await inspector.inspect(quick)).media_type is PNG


async def test_confined_process_that_was_killed_once_is_no_verdict(
    inspector: SubprocessInspector, slow: Path
) -> None:
    pid = await warm_process(inspector)
    task = asyncio.create_task(inspector.inspect(slow))
    await until(lambda: bool(children(pid)))
    os.kill(children(pid)[0], signal.SIGKILL)

    facts = await asyncio.wait_for(task, LONG)
    assert facts.frames == 900


async def test_file_whose_process_is_killed_again_may_be_the_reason(
    inspector: SubprocessInspector, slow: Path, quick: Path
) -> None:
    pid = await warm_process(inspector)
    task = asyncio.create_task(inspector.inspect(slow))
    killed: set[int] = set()
    while len(killed) < 2:
        await until(lambda: bool(set(children(pid)) - killed))
        (confined,) = set(children(pid)) - killed
        os.kill(confined, signal.SIGKILL)
        killed.add(confined)
    with pytest.raises(InspectionFailed):
        await asyncio.wait_for(task, LONG)

    await inspector.inspect(quick)
    assert runs(pid)


@pytest.mark.parametrize(
    ("cpu_seconds", "error"), [(0.1, Unavailable), (14.0, InspectionFailed)], ids=["no turn", "own"]
)
def test_time_that_ran_out_is_the_fault_of_who_used_it(
    cpu_seconds: float, error: type[GenjobsError]
) -> None:
    end = End(said=b"", status=-9, timed_out=True, cpu_seconds=cpu_seconds, resident_bytes=0)
    with pytest.raises(error):
        _verdict(end, MediaLimits())


async def test_decoder_that_crashes_is_a_refusal(
    inspector: SubprocessInspector, slow: Path
) -> None:
    pid = await warm_process(inspector)
    task = asyncio.create_task(inspector.inspect(slow))
    await until(lambda: bool(children(pid)))
    os.kill(children(pid)[0], signal.SIGSEGV)
    with pytest.raises(MediaContentRefused):
        await task


async def test_process_that_is_stuck_is_replaced(quick: Path) -> None:
    before = set(children(os.getpid()))
    async with SubprocessInspector(replace(LIMITS, wall_seconds=0.1)) as hasty:
        pid = await warm_process(hasty)
        os.kill(pid, signal.SIGSTOP)
        assert (await asyncio.wait_for(hasty.inspect(quick), LONG)).media_type is PNG
        assert not runs(pid)
    assert set(children(os.getpid())) == before


async def test_cancelled_inspection_leaves_no_process_and_no_descriptor(
    inspector: SubprocessInspector, slow: Path, quick: Path
) -> None:
    pid = await warm_process(inspector)
    descriptors = len(os.listdir("/proc/self/fd"))
    inner = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(3):
        task = asyncio.create_task(inspector.inspect(slow))
        await until(lambda: bool(children(pid)))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not children(pid))
    await inspector.inspect(quick)

    assert len(os.listdir("/proc/self/fd")) == descriptors
    await until(lambda: len(os.listdir(f"/proc/{pid}/fd")) == inner)


async def test_many_inspections_leave_nothing_behind(
    inspector: SubprocessInspector, quick: Path
) -> None:
    pid = await warm_process(inspector)
    descriptors = len(os.listdir("/proc/self/fd"))
    inner = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(8):
        await asyncio.gather(*(inspector.inspect(quick) for _ in range(10)))
    assert len(os.listdir("/proc/self/fd")) == descriptors
    await until(lambda: len(os.listdir(f"/proc/{pid}/fd")) == inner)
    assert not children(pid)


async def test_close_ends_every_process_and_what_is_under_way(slow: Path, quick: Path) -> None:
    inspector = SubprocessInspector(LIMITS)
    pid = await warm_process(inspector)
    task = asyncio.create_task(inspector.inspect(slow))
    await until(lambda: bool(children(pid)))
    (confined,) = children(pid)

    await inspector.close()
    assert not runs(pid)
    assert not runs(confined)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, LONG)
    with pytest.raises(Unavailable):
        await inspector.inspect(quick)
    await inspector.close()


async def test_processes_end_with_the_one_that_started_them(slow: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from genjobs.adapters.media_inspection import SubprocessInspector\n"
        "from genjobs.domain.media_limits import MediaLimits\n"
        "async def main():\n"
        "    inspector = SubprocessInspector(MediaLimits(picture_total_pixels=10**11))\n"
        "    await inspector.check()\n"
        "    print('started', flush=True)\n"
        "    await inspector.inspect(Path(sys.argv[1]))\n"
        "asyncio.run(main())\n"
    )
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(slow)),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
    )
    try:
        assert owner.stdout is not None
        assert await asyncio.wait_for(owner.stdout.readline(), LONG) == b"started\n"
        (pid,) = children(owner.pid)
        await until(lambda: bool(children(pid)))
        (confined,) = children(pid)
    finally:
        owner.kill()
        await owner.wait()
    await until(lambda: not runs(pid))
    await until(lambda: not runs(confined))


async def test_films_do_not_keep_pictures_waiting(
    inspector: SubprocessInspector, slow: Path, quick: Path, tmp_path: Path
) -> None:
    from tests.media_files import film

    song = tmp_path / "song"
    song.write_bytes(film("flac", None, "flac", seconds=300, sample_rate=8_000, layout="mono"))
    songs = [asyncio.create_task(inspector.inspect(song)) for _ in range(6)]
    await asyncio.sleep(0)
    await asyncio.wait_for(inspector.inspect(quick), LONG)
    assert not all(task.done() for task in songs)
    await asyncio.gather(*songs)


async def test_no_more_files_at_a_time_than_allowed(slow: Path) -> None:
    slow.write_bytes(tiny_gif(200, 1_600, 1_600))
    async with SubprocessInspector(LIMITS, concurrency=1) as narrow:
        pid = await warm_process(narrow)
        tasks = [asyncio.create_task(narrow.inspect(slow)) for _ in range(3)]
        most = 0
        while not all(task.done() for task in tasks):
            most = max(most, len(children(pid)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)
    assert most == 1


async def test_waiting_for_a_turn_ends(slow: Path, quick: Path) -> None:
    async with SubprocessInspector(replace(LIMITS, wall_seconds=0.5), concurrency=1) as narrow:
        await narrow.check()
        tasks = [narrow.inspect(slow) for _ in range(4)]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable] * 4
        assert (await narrow.inspect(quick)).media_type is PNG


# -- time and memory --------------------------------------------------------------------------


async def test_too_much_processor_time_is_the_files_fault(slow: Path) -> None:
    async with SubprocessInspector(replace(LIMITS, cpu_seconds=1)) as strict:
        slow.write_bytes(tiny_gif(1_000, 6_000, 6_000))
        with pytest.raises(MediaContentRefused, match="longer to decode"):
            await strict.inspect(slow)


async def test_too_much_time_on_the_clock_is_not(slow: Path, quick: Path) -> None:
    async with SubprocessInspector(replace(LIMITS, wall_seconds=0.3)) as strict:
        pid = await warm_process(strict)
        with pytest.raises(Unavailable):
            await strict.inspect(slow)
        assert not children(pid)
        assert (await strict.inspect(quick)).media_type is PNG


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
async def test_too_much_memory_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "picture"
    path.write_bytes(encoded(name, "P" if name == "GIF" else "RGB", size=(2_000, 1_500)))
    async with SubprocessInspector(replace(LIMITS, memory_bytes=1024**2)) as strict:
        with pytest.raises(MediaContentRefused):
            await strict.inspect(path)
    async with SubprocessInspector(replace(LIMITS, memory_bytes=256 * 1024**2)) as enough:
        await enough.inspect(path)


async def test_refusal_for_memory_says_so(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(png(png_header(6_000, 6_000), (b"IDAT", b"")))
    async with SubprocessInspector(replace(LIMITS, memory_bytes=16 * 1024**2)) as strict:
        with pytest.raises(MediaContentRefused, match="more memory"):
            await strict.inspect(path)


# -- verdicts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verdict",
    [
        Found(width=3, height=4, frames=1),
        Found(seconds=1.25),
        Found(),
    ],
)
def test_verdict_is_read_as_it_was_written(verdict: Found) -> None:
    assert verdicts.read(verdicts.write(verdict)) == verdict


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_words(reason: Reason) -> None:
    refused = Refused(reason, width=3, height=4, detail="OSError")
    again = verdicts.read(verdicts.write(refused))
    assert isinstance(again, Refused)
    assert (again.reason, again.width, again.height) == (reason, 3, 4)
    message = verdicts.message(again, PNG, LIMITS)
    assert message.endswith(".")
    assert "OSError" not in message


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"refused": "because"}',
        b'{"refused": ["broken"]}',
        b'{"refused": "broken", "detail": "see http://x.test"}',
        b'{"refused": "broken", "detail": 5}',
        b'{"refused": "picture_pixels", "width": "<b>", "height": 4}',
        b'{"width": -1}',
        b'{"width": true}',
        b'{"width": 1e300}',
        b'{"frames": 99999999999999999999}',
        b'{"seconds": NaN}',
        b'{"seconds": -1.0}',
        b'{"seconds": "1"}',
    ],
    ids=range(18),
)
def test_nothing_else_is_a_verdict(line: bytes) -> None:
    with pytest.raises(Unreadable):
        verdicts.read(line)
