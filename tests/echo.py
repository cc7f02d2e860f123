"""A domain for tests, which needs no model: `python -m tests.echo stream|serve`; its name, and so its topics, is in ECHO_NAME.

It answers with the request's own text. A request says with its text what should happen: ``reject``, ``bug``, ``hang``, ``down``,
``until <file>`` (down until it exists), ``slow <seconds>``, ``die`` (the process is killed while the batch is in hand, the first time).
ECHO_STALLED, ECHO_DRAIN, ECHO_SESSION and ECHO_REVOKE_PATIENCE are seconds that the streamed door shall take for its own.
"""

import asyncio
import os
import signal
from pathlib import Path

from protos import event_pb2, intent_pb2
from shared.domain import Domain, Prediction, Tools
from shared.errors import Reject, Unavailable
from shared.run import run
from shared.stream import offsets, worker


async def handle(request: intent_pb2.IntentRequest, tools: Tools) -> intent_pb2.IntentResult:
    word, _, rest = request.text.partition(" ")
    match word:
        case "":
            raise Reject("TEXT_EMPTY", "text must hold at least one character", "text")
        case "reject":
            raise Reject("TEXT_REFUSED", "text may not be 'reject'", "text")
        case "bug":
            raise ValueError(f"secret: {request.text}")
        case "hang":
            await asyncio.Event().wait()
        case "down":
            raise Unavailable("inference", "the test says so")
        case "until" if absent(rest):
            raise Unavailable("inference", "the test says so")
        case "slow":
            await asyncio.sleep(float(rest))
        case "die" if once(rest):
            os.kill(os.getpid(), signal.SIGKILL)
        case "unstorable":
            return answer(request.text + "\0")
    return answer(request.text)


def once(name: str) -> bool:
    """True the first time that any process asks."""
    try:
        Path(name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def absent(name: str) -> bool:
    return not Path(name).exists()


def answer(text: str) -> intent_pb2.IntentResult:
    model = event_pb2.Model(name="echo", version="1")
    return intent_pb2.IntentResult(answer=event_pb2.Answer(model=model, why=f"you said {text}"), intent=text)


def echo(name: str) -> Domain:
    return Domain(
        name=name,
        request=intent_pb2.IntentRequest,
        result=intent_pb2.IntentResult,
        call=intent_pb2.IntentCall,
        reply=intent_pb2.IntentReply,
        batch=intent_pb2.IntentBatch,
        replies=intent_pb2.IntentReplies,
        verb="Classify",
        handle=handle,
        predictions=lambda result: [Prediction("intent", result.intent, {result.intent: 1.0})],
        order=lambda request: str(request.conversation),
        infers=False,
    )


if __name__ == "__main__":
    for module, name in ((worker, "STALLED"), (worker, "DRAIN"), (worker, "SESSION"), (offsets, "REVOKE_PATIENCE")):
        setattr(module, name, float(os.environ.get(f"ECHO_{name}", getattr(module, name))))
    run(echo(os.environ["ECHO_NAME"]))
