"""`import` of many models: through an executor, to a directory of specs, with a journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import compress
from pathlib import Path
from time import perf_counter
from typing import Any

from msgspec import UNSET

from convcli.errors import SpecError
from convcli.files import replaced
from convcli.importer.asked import Asked
from convcli.verifier.interrupt import Interrupt
from convcli.verifier.journal import End, Header, Recording, header
from convcli.verifier.many.crew import Crew
from convcli.verifier.many.engines import engine_of
from convcli.verifier.shard import Shard, Share, shard_of
from convcli.zoo.places import directory_of, journal_name
from convcli.zoo.record import Imported, Imports, Model, imports
from convcli.zoo.station import Found, Importing, libraries_of
from convcli.zoo.wanted import Wanted, keys_of, named

TIMEOUT = 300.0
Progress = Callable[[int, int, str], None]
Input = str | tuple[int, ...] | tuple[tuple[int, ...], str]


def import_models(  # noqa: PLR0913 - each is one option of the command
    targets: Sequence[str],
    *inputs: Input,
    directory: str | Path | None = None,
    arguments: Mapping[str, Any] | None = None,
    partial: bool = False,
    run: bool = False,
    jobs: int | None = None,
    timeout: float = TIMEOUT,
    executor: str | None = None,
    shard: str | Shard | None = None,
    resume: str | Path | None = None,
    progress: Progress | None = None,
) -> Imports:
    """A spec of every model in `directory`, to the byte what `import` writes of it alone, and a journal beside them.

    targets: "torchvision.models:resnet50", "file.py:Net", "model.onnx". inputs: of each of them, shapes, (shape, data
    type) pairs, or texts as they are typed. arguments, partial, run: as of `import_torch`, for models of torch.
    jobs: how many at once. timeout: seconds for one model. executor: who does it (docs/many.md). shard: "3/7", the
    third of seven equal shares. resume: the journal of a run of these models that is continued.

    A model that raises, crashes or hangs is told and costs the others nothing. Raises SpecError for what makes no
    sense, BackendMissing where torch or onnx is not installed, before any model's code runs. Ctrl-C ends it: the
    answer holds what was finished.
    """
    asked = Asked(tuple(map(_typed, inputs)), dict(arguments or {}), partial, run)
    if not targets:
        raise SpecError("there is no model to import", allowed="module:callable, file.py:callable, FILE.onnx")
    asked.check(list(targets))
    if not timeout > 0:
        raise SpecError(f"timeout={timeout} is too short", field="timeout", allowed="more than 0 seconds")
    part, every = shard_of(shard), named(targets)
    ours = tuple(compress(every, part.of((None, 0) for _ in every)))
    engine = engine_of(executor, jobs, most=len(ours))
    home = directory_of(directory, resume, journal_name(part))
    task = Importing(asked, timeout, str(Path.cwd()), libraries_of(targets))
    options = {**asked.options, "models": len(every), "shard": str(part)}
    journal = None if resume is not None else home / journal_name(part)
    record = Recording(journal, resume, "import", Imported)
    work = _Work(ours, home, record, progress)
    environment: dict[str, Any] = {}
    interrupted = False
    try:
        with ExitStack() as stack:
            stack.enter_context(record)
            interrupt = stack.enter_context(Interrupt())
            stack.callback(engine.close)
            crew = Crew(engine, task, interrupt.check)
            stack.callback(crew.close)
            environment = crew.begin()
            work.take_over(header("import", 0, options, environment))
            crew.work_through([work])
            record.write(End(len(every)))
    except KeyboardInterrupt:
        interrupted = True
    return imports(
        work.models,
        options=asked.options,
        environment=environment,
        seconds=work.seconds,
        interrupted=interrupted,
        share=UNSET if part.whole else Share(str(part), tuple(one.index for one in ours), len(every), {}),
    )


class _Work:
    """The models on their way: imported in any order, their specs written at once, told to the journal in order."""

    def __init__(
        self,
        ours: tuple[Wanted, ...],
        home: Path,
        record: Recording[Imported],
        progress: Progress | None,
    ):
        self._ours, self._home, self._record, self._progress = ours, home, record, progress
        self._found: dict[int, Model] = {}
        self._told = 0  # how many of ours the journal has
        self._keys: list[str] = []
        self._start = perf_counter()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return perf_counter() - self._start

    @property
    def models(self) -> tuple[Model, ...]:
        """What is known of ours, in their order, with their files where they are."""
        return tuple(self._found[index].inside(self._home) for index in sorted(self._found))

    def take_over(self, own: Header) -> None:
        """What an earlier run has done. Raises SpecError when it was of other models; a file that is gone is made anew.

        Then this run's lines follow.
        """
        self._keys = keys_of(self._ours, own)
        for line in self._record.earlier(own):
            if self._told == len(self._ours) or self._ours[self._told].index != line.index:
                raise SpecError(f"its model {line.model.target} is none of these here", field="--resume")
            one, key = self._ours[self._told], self._keys[self._told]
            if line.key != key:
                other = "has changed since" if line.model.target == one.target else f"is {one.target} here"
                raise SpecError(f"its model {line.model.target} {other}", field="--resume")
            self._told += 1
            if not line.model.good or (self._home / one.file).is_file():
                self._found[line.index] = line.model
        self._record.start(own)

    def cases(self) -> Iterator[tuple[int, Wanted]]:
        """The models that are still to be imported."""
        for one in self._ours:
            if one.index not in self._found:
                yield one.index, one

    def take(self, index: int, found: Found) -> None:
        """What became of a model: its spec is written, then the lines that are next in the order."""
        if found.model.file:
            with replaced(self._home / found.model.file) as file:
                file.write(found.spec.encode("utf-8", "backslashreplace"))  # as `import` of it alone writes it
        self._found[index] = found.model
        while self._told < len(self._ours) and (known := self._found.get(self._ours[self._told].index)):
            self._record.write(Imported(self._ours[self._told].index, self._keys[self._told], known))
            self._told += 1
        if self._progress:
            self._progress(len(self._found), len(self._ours), found.model.name)


def _typed(said: Input) -> str:
    """(1, 3, 224, 224) as "1,3,224,224", ((1, 128), "int64") as "1,128:int64"."""
    if isinstance(said, str):
        return said
    if len(said) == 2 and isinstance(said[1], str) and isinstance(said[0], tuple):
        return f"{_typed(said[0])}:{said[1]}"
    return ",".join(map(str, said))
