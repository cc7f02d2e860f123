"""Fine-tuning an encoder on the labels, by LoRA or in full: transformers' Trainer around the very network that will serve.

What LoRA learns stays an adapter beside the encoder, which other models go on sharing; where that cannot be served (architectures that run
through transformers), or `merge` is asked for, it is added to a copy of the encoder.

The encoder learns from the training part alone; validation is left for the heads' strength, temperature and thresholds. All rows, old
and new, are learned from together (replay), so that a correction does not cost what was known.
"""

import hashlib
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from services.training.encoders import Made
from services.training.examples import Corpus, DataError, Example
from services.training.leftover import find_checkpoint
from services.training.routes import Plan, targets
from services.training.tuned import SPEC, find_tuned, keep_adapter, merge_adapter, publish_tuned
from shared.nn.adapter import Place, list_linears
from shared.nn.encoder import load_network, load_tokenizer
from shared.nn.heads import Heads
from shared.nn.tokens import Packed, Tokens, pack

BATCH = 16
RATES = {"lora": 5e-4, "full": 5e-5}
# The linear layers of shared/nn/bert.py, and of transformers' encoders.
_ADAPTED = r".*\.(qkv|mix|widen|narrow|query|key|value|dense)$"


def run(
    corpus: Corpus, learned: Sequence[Example], encoder: Made, plan: Plan, advance: Callable[[int, int], None]
) -> Made:
    """A new encoder in the store, or the same with an adapter. A killed run goes on from its last checkpoint; one that had ended is not
    done again.

    Raises:
        DataError: there is no row of the training part, or the encoder cannot be fine-tuned in this way.
    """
    rows = [example for example in learned if example.part == "training"]
    if not rows:
        raise DataError("no row of the training part to fine-tune on")
    place = plan.scratch / "finetune" / _name(corpus, rows, encoder, plan)
    if (found := find_tuned(place, encoder, plan.store, merged=plan.merge)) is not None:
        return found
    network = load_network(encoder.folder, encoder.spec)
    change = f"{plan.method} on {corpus.domain}, {plan.epochs} epochs, seed {plan.seed}, from {encoder.digest}"
    places = list_linears(network)  # before peft puts its own in their place
    tuned = _train(network, _batches(corpus, rows, encoder), corpus.labels, place, plan, advance)
    if plan.method == "lora" and places:
        made = keep_adapter({each: _read_pair(network, each) for each in places}, encoder, place)
        if plan.merge:
            made = publish_tuned(merge_adapter(made), encoder, change, place, plan.store)
    else:
        whole = tuned.merge_and_unload() if plan.method == "lora" else tuned
        made = publish_tuned(whole, encoder, change, place, plan.store)
    for checkpoint in place.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    return made


def _read_pair(network: nn.Module, place: Place) -> tuple[Tensor, Tensor]:
    """What peft has put in the place of this linear layer: its a and b."""
    body: Any = network.body
    linear = getattr(body.layers[place[0]], place[1])
    (a,), (b,) = linear.lora_A.values(), linear.lora_B.values()
    return a.weight, b.weight


def _name(corpus: Corpus, rows: Sequence[Example], encoder: Made, plan: Plan) -> str:
    """The same for the same data, encoder and settings: what a killed run is found again by."""
    said = [f"{e.text}\x1f{e.text_pair}\x1f{sorted(e.labels.items())}\x1f{e.weight}" for e in rows]
    method = "lora, apart" if plan.method == "lora" and not plan.merge else plan.method
    settings = [encoder.digest, method, str(plan.epochs), str(plan.seed), str(sorted(corpus.labels.items()))]
    return hashlib.sha256(
        "\x1e".join([*settings, *sorted(corpus.several), *said]).encode("utf-8", "surrogatepass")
    ).hexdigest()[:16]


class _Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """One dict a row: tokens, the index of each head's label (of several right ones 0 or 1 for each) or -1, and the row's weight."""

    def __init__(self, tokens: Sequence[Tokens], truth: Mapping[str, Any], weights: Any) -> None:
        self.tokens, self.truth, self.weights = tokens, truth, weights

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row: int) -> dict[str, Any]:
        truth = {head: labels[row].tolist() for head, labels in self.truth.items()}
        return {"tokens": self.tokens[row], "truth": truth, "weight": float(self.weights[row])}


def _batches(corpus: Corpus, rows: Sequence[Example], encoder: Made) -> _Rows:
    tokenizer = load_tokenizer(encoder.folder, encoder.spec)
    tokens = tokenizer.encode([e.text for e in rows], [e.text_pair for e in rows])
    found = {
        head: targets(rows, head, labels, several=head in corpus.several) for head, labels in corpus.labels.items()
    }
    weights = next(iter(found.values()))[1]
    return _Rows(tokens, {head: truth for head, (truth, _) in found.items()}, weights)


def _collate(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    packed = pack([row["tokens"] for row in rows])
    truth = {f"truth_{head}": torch.tensor([row["truth"][head] for row in rows]) for head in rows[0]["truth"]}
    weights = torch.tensor([row["weight"] for row in rows])
    return {
        "ids": packed.ids,
        "types": packed.types,
        "lengths": torch.tensor(packed.lengths),
        "weights": weights,
        **truth,
    }


class _Classifier(nn.Module):
    """Encoder and heads; the loss is the weighted mean of the heads' cross-entropies.

    Where several labels may be right, theirs is the sum of the labels' binary cross-entropies.
    """

    def __init__(self, encoder: nn.Module, heads: Heads) -> None:
        super().__init__()
        self.encoder, self.heads = encoder, heads

    def forward(
        self, ids: Tensor, types: Tensor, lengths: Tensor, weights: Tensor, **truth: Tensor
    ) -> dict[str, Tensor]:
        pooled = self.encoder(Packed(ids, types, tuple(lengths.tolist())))
        total = pooled.new_zeros(())
        for head, logits in self.heads(nn.functional.dropout(pooled, 0.1, self.training)).items():
            labels = truth[f"truth_{head}"]
            if labels.ndim == 1:
                losses = nn.functional.cross_entropy(logits, labels, ignore_index=-1, reduction="none")
                known = (labels >= 0) * weights
            else:
                each = nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits), reduction="none")
                losses, known = each.sum(dim=1), (labels[:, 0] >= 0) * weights
            total = total + (losses * known).sum() / known.sum().clamp(min=1e-6)
        return {"loss": total}


def _train(
    network: nn.Module,
    rows: _Rows,
    labels: Mapping[str, tuple[str, ...]],
    place: Path,
    plan: Plan,
    advance: Callable[[int, int], None],
) -> Any:
    """The network, or peft's around it."""
    from transformers import Trainer, set_seed

    set_seed(plan.seed)
    for parameter in network.parameters():
        parameter.requires_grad = True
    encoder: Any = _adapt(network) if plan.method == "lora" else network
    heads = Heads(_width(network, rows), {head: len(names) for head, names in labels.items()})
    place.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(
        model=_Classifier(encoder, heads),
        args=_arguments(place, plan, len(rows), labels),
        train_dataset=rows,
        data_collator=_collate,
        callbacks=[_progress(advance)],
    )
    trainer.train(resume_from_checkpoint=find_checkpoint(place))
    return encoder.cpu().eval()


def _arguments(place: Path, plan: Plan, rows: int, heads: Collection[str]) -> Any:
    """transformers' TrainingArguments: checkpoints to go on from, a linear schedule, nothing reported to anyone."""
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(place),
        num_train_epochs=plan.epochs,
        per_device_train_batch_size=BATCH,
        learning_rate=RATES[plan.method],
        lr_scheduler_type="linear",
        warmup_steps=max(1, plan.epochs * rows // BATCH // 10),
        weight_decay=0.01,
        max_grad_norm=1.0,
        seed=plan.seed,
        data_seed=plan.seed,
        save_strategy="steps",
        save_steps=50,
        save_total_limit=1,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=[f"truth_{head}" for head in heads],
        dataloader_pin_memory=False,
    )


def _adapt(network: nn.Module) -> nn.Module:
    """LoRA (Hu et al. 2021) on the linear layers."""
    from peft import LoraConfig, get_peft_model

    try:
        config = LoraConfig(r=SPEC.rank, lora_alpha=SPEC.scale * SPEC.rank, lora_dropout=0.05, target_modules=_ADAPTED)
        return get_peft_model(network, config)  # type: ignore[no-any-return]
    except ValueError as error:
        raise DataError(f"this encoder has no layers that LoRA can adapt: {error}") from error


def _width(network: nn.Module, rows: _Rows) -> int:
    with torch.inference_mode():
        return int(network(pack([rows.tokens[0]])).shape[1])


def _progress(advance: Callable[[int, int], None]) -> Any:
    from transformers import TrainerCallback

    class Progress(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            advance(state.global_step, state.max_steps)

    return Progress()
