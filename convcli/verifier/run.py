"""The run: jobs go to the workers in order, a few at a time, and verdicts come out in the order of the spec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from convcli.axis import whole
from convcli.backends import require
from convcli.errors import SpecError
from convcli.plan import Network, Plan, plan
from convcli.verifier.bounds import BITS
from convcli.verifier.estimate import memory_limit
from convcli.verifier.interrupt import Interrupt
from convcli.verifier.jobs import Wanted
from convcli.verifier.ledger import Ledger, Progress, chosen
from convcli.verifier.verdict import LayerVerdict, Outcome, outcome
from convcli.verifier.workshop import Workshop, cores

if TYPE_CHECKING:
    from convcli.backends.kernel import Target

DTYPES = ("float64", "float32")
MOST_JOBS = 4


def verify(  # noqa: PLR0913 - each is one option of the command
    networks: Network | Plan | Sequence[Network | Plan],
    *,
    seed: int = 0,
    dtypes: Sequence[str] = DTYPES,
    grad: bool = False,
    prove: bool = False,
    jobs: int | None = None,
    only: Sequence[str] = (),
    fail_fast: bool = False,
    max_memory: int | None = None,
    timeout: float = 60.0,
    against: str = "torch",
    kernel: Target | None = None,
    progress: Progress | None = None,
    on_verdict: Callable[[LayerVerdict], None] | None = None,
) -> Outcome:
    """Every layer of the networks against another implementation: shape, parameters, MACs, exact and bounded values.

    seed: the data depend on it and on each layer's configuration, on nothing else. dtypes: float64, float32, float16.
    grad: every gradient as well, and the adjoint identity. prove: the products off the padding by executing ones.
    jobs: layers worked on at a time, each by one process for either side. only: names or patterns (`layer1.*`) of the
    layers to check. fail_fast: skip what comes after a failure. max_memory: bytes; a layer that needs more is skipped;
    half of what is free when left out. timeout: seconds for one call of one side. against: "torch", "onnxruntime",
    "onnx-reference", "jax", or a backend of one's own as `module` or `module:name`. kernel: a function of the user's to
    be tested instead (`verify_kernel`). progress: told (layers done, layers in all, name). on_verdict: told each
    verdict, in order, as soon as it is there.

    Raises BackendMissing before any work when the other side cannot run, SpecError for arguments that make no sense.
    Ctrl-C ends it: the outcome then holds what was finished and is `interrupted`.
    """
    start = perf_counter()
    given = (networks,) if isinstance(networks, Network | Plan) else tuple(networks)
    plans = [plan(one) if isinstance(one, Network) else one for one in given]
    for dtype in dtypes:
        if dtype not in BITS:
            raise SpecError(f"dtype={dtype!r} is not known", field="dtype", allowed=", ".join(BITS))
    if not timeout > 0:
        raise SpecError(f"timeout={timeout} is too short", field="timeout", allowed="more than 0 seconds")
    if kernel and (grad or prove):
        raise SpecError("a kernel is asked for its forward values alone: neither grad nor prove", field="kernel")
    different = tuple(dict.fromkeys(dtypes))
    wanted = Wanted(against, different, whole("seed", seed, least=0), grad=grad, prove=prove, kernel=kernel)
    ledger = Ledger(chosen(plans, only), wanted, fail_fast=fail_fast)
    ledger.progress, ledger.on_verdict = progress, on_verdict
    require(kernel.arrays if kernel else against)
    against = kernel.name if kernel else against
    count = _width(jobs, len(ledger.subjects))
    threads = max(1, cores() // (2 * count))
    limit = memory_limit() if max_memory is None else whole("max_memory", max_memory, least=1)
    environment: dict[str, Any] = {"threads": threads, "jobs": count, "against": kernel.place if kernel else against}
    interrupted = False
    try:
        with (
            Interrupt() as interrupt,
            Workshop(
                against,
                interrupt.check,
                count=count,
                threads=threads,
                timeout=timeout,
                limit=limit,
                kernel=kernel,
            ) as workshop,
        ):
            environment = {**workshop.begin(), **environment}
            ledger.rounds = environment.pop("rounds")
            ledger.environment = environment
            _work(ledger, workshop)
    except KeyboardInterrupt:
        interrupted = True
    ledger.close()
    return outcome(
        tuple(ledger.verdicts),
        seed=seed,
        environment=environment,
        seconds=perf_counter() - start,
        interrupted=interrupted,
    )


def _work(ledger: Ledger, workshop: Workshop) -> None:
    for place, job in ledger.jobs():
        while not workshop.has_room(job):
            for finished in workshop.finished():
                ledger.note(*finished)
        for at_once in workshop.start(place, job):
            ledger.note(*at_once)
    while not workshop.idle:
        for finished in workshop.finished():
            ledger.note(*finished)


def _width(jobs: int | None, layers: int) -> int:
    """As many layers at a time as there are pairs of cores: one for either side."""
    if jobs is not None:
        return whole("jobs", jobs, least=1)
    return max(1, min(cores() // 2, layers, MOST_JOBS))
