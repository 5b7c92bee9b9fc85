"""What every training with a run folder shares: begin it, go on with it, or see that it is done."""

import random
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path

from kerasvision.errors import KerasvisionError
from kerasvision.files import make_folder
from kerasvision.progress import say
from kerasvision.recipes import run_folder
from kerasvision.training.locking import only_process


def carry_out(out, kind: str, arguments: Mapping, data, train: Callable[[Path, dict], None]) -> Path:
    """Train in a run folder, from the beginning or from where it was, unless it is finished.

    Args:
        out: the run folder; created.
        kind: of the run, one of `run_folder.RECIPES`.
        arguments: those that make the run what it is, as they go into run.json.
        data: a `VisionData`.
        train: called with the folder and the record; leaves the record `finished` and all files written.

    Returns:
        The folder.

    Raises:
        RunError: `out` holds other files, a run with other arguments or data, or another process trains
            there.
    """
    out = make_folder(out)
    with only_process(out):
        record = run_folder.read_record(out, kind)
        if record is None:
            run_folder.refuse_foreign(out, "run")
        elif not _begun(out, record) and not run_folder.is_same(record, arguments, data):
            say(f"The run in {out} had not begun to train. It starts anew with what is given now.")
            shutil.rmtree(out / run_folder.CACHE, ignore_errors=True)
            record = None
        if record is None:
            record = run_folder.new_record(arguments, data, kind)
            run_folder.write_record(out, record)
        else:
            run_folder.check_same(out, record, arguments, data)
            if record["status"] == "finished":
                say(f"The run in {out} is finished; nothing to do.")
                return out
            say(f"Going on with the run in {out}.")
            run_folder.remove_half_written(out)
        train(out, record)
    return out


def finish(job, started: float, before: float) -> None:
    """Mark a run as finished; its report wants the seconds of all this, so it is written after."""
    job.record["seconds"]["total"] = round(before + time.monotonic() - started, 3)
    job.record["status"], job.record["finished"] = "finished", run_folder.now()
    job.save()


def clear(out: Path) -> None:
    """Delete what only going on needed; the model and the report hold what it led to."""
    for name in (run_folder.CACHE, run_folder.CHECKPOINTS):
        shutil.rmtree(out / name, ignore_errors=True)


@contextmanager
def seeded(seed: int):
    """Make Keras' initial weights a function of the seed, and leave the caller's random state as it was."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def refuse_several_machines(strategy) -> None:
    """Refuse a strategy of several machines: a run folder belongs to one process.

    Raises:
        KerasvisionError: saying what to use instead.
    """
    resolver = getattr(strategy, "cluster_resolver", None)
    tasks = resolver.cluster_spec().as_dict() if resolver is not None else {}
    if sum(len(addresses) for addresses in tasks.values()) > 1:
        raise KerasvisionError(
            "`distribute` must be a strategy of one machine, for example tf.distribute.MirroredStrategy(): "
            "a run folder belongs to one process. Several machines: use kerasvision.training.fit, which "
            "takes MultiWorkerMirroredStrategy."
        )


def _begun(out: Path, record: dict) -> bool:
    """Tell whether there is training to lose; a bad photo or a typing error ends a run before there is."""
    return record["status"] == "finished" or any((out / run_folder.CHECKPOINTS).glob("*"))
