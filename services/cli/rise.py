"""The order in which the local stack comes up: servers, schema and topics, first models, processes."""

import asyncio
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path

from services.cli import counts, job, parts, stack, topics
from services.cli.contract import contracts
from services.cli.crew import Crew, place
from services.cli.local import kafka
from services.cli.part import Part
from services.cli.problem import Problem

_SERVER_WITHIN = 120.0  # s


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person asked for."""

    data: Path
    starters: bool = True  # train the starter models where none is live
    within: float = 300  # s that all processes may take to be ready, training not counted


async def rise(wish: Wish, crew: Crew) -> None:
    """Returns once everything is ready and DIR/stack.env is written.

    Raises:
        Problem: something did not come up; says what, why, and where its log is.
    """
    external = parts.external(wish.data)
    for name, value in external.items():
        crew.say(f"using {name.removeprefix(stack.PREFIX).lower()} at {place(value)}, as {name} says")
    values = {**parts.folders(wish.data), **external}
    stack.lines(values)  # refuses what could not be written, before anything is started
    parts.make_store(wish.data, values)
    await _together(*(_serve(crew, name, values) for name in parts.SERVERS if name not in external))
    await _together(_migrate(crew, values), _provision(crew, values))
    missing = sorted(set(contracts()) - await counts.live_models(stack.Stack(wish.data, values).settings))
    if missing and wish.starters:
        await _together(_train(crew, values, missing), _quicken(crew))
    listening = parts.addresses(wish.data)
    values = {"TIDEMILL_INFERENCE": listening["inference"], **values, **parts.variables(listening)}
    processes = parts.processes(wish.data, values, listening, own_inference="TIDEMILL_INFERENCE" not in external)
    crew.say(f"starting {len(processes)} processes of Tidemill")
    keepers = [crew.start(part) for part in processes]
    if missing and not wish.starters:
        crew.say(f"no live model for {', '.join(missing)}: not waiting for inference, which is ready once there is one")
        keepers = [keeper for keeper in keepers if keeper.part.name != "inference"]
    await crew.ready(keepers, wish.within)
    stack.write(stack.env_file(wish.data), stack.lines(values))


async def _serve(crew: Crew, variable: str, values: dict[str, str]) -> None:
    name, prepare = parts.SERVERS[variable]
    crew.say(f"starting {name}")
    try:
        part = await asyncio.to_thread(prepare, crew.data / name, crew.say)
    except ModuleNotFoundError as error:
        raise Problem(f"{name}: {error.name} is not installed: pip install '.[local]', or set {variable}") from error
    except (RuntimeError, OSError) as error:
        raise Problem(f"{name}: {error}") from error
    values[variable] = part.address
    await crew.ready([crew.start(part)], _SERVER_WITHIN)


async def _migrate(crew: Crew, values: dict[str, str]) -> None:
    crew.say("bringing the database schema up to date")
    command = (sys.executable, "-m", "shared.store", "migrate")

    def warn(line: str) -> None:
        if "WARNING" in line:  # what it waits for
            crew.say(line)

    await job.run(Part("migrate", command, "", environment=values), crew.log("migrate"), warn, _SERVER_WITHIN)


async def _provision(crew: Crew, values: dict[str, str]) -> None:
    crew.say("making the topics")
    await asyncio.to_thread(topics.provision, stack.Stack(crew.data, values).settings, topics.topics())


async def _train(crew: Crew, values: dict[str, str], missing: list[str]) -> None:
    crew.phase = "training"
    crew.say(f"no live model for {', '.join(missing)}: training the starters, once (minutes; --no-starters skips it)")
    command = (sys.executable, "-m", "services.training", "starters")
    await job.run(Part("starters", command, "", environment=values), crew.log("starters"), crew.say)
    crew.phase = "starting"


async def _quicken(crew: Crew) -> None:
    """While there is time: later starts of Kafka, and its restarts, take half as long."""
    if kafka.quick().exists():
        return
    command = (sys.executable, "-m", "services.cli.local.kafka")
    try:
        await job.run(Part("quicken", command, ""), crew.log("quicken"), lambda line: None)
    except Problem as problem:
        crew.say(f"Kafka works, but its later starts will not be faster: {problem}")


async def _together(*tasks: Coroutine[None, None, None]) -> None:
    """Runs them at the same time; the first problem ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)
    except* Problem as problems:
        raise problems.exceptions[0] from None
