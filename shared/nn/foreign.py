"""Architectures that we have no network of our own for, through transformers. Importing this module takes seconds."""

from pathlib import Path

from torch import Tensor, nn
from transformers import AutoModel

from shared.nn.tokens import Packed, pad


class Foreign(nn.Module):
    """A transformers encoder behind the packed interface: it pads, since its own code asks for that.

    The folder is a verified bundle: nothing is fetched, only safetensors are read and no code in the folder is run.
    """

    pads = True  # to the longest of a batch

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="float32"
        )
        self.padding = self.model.config.pad_token_id or 0
        self.typed = getattr(self.model.config, "type_vocab_size", 0) > 1

    def forward(self, packed: Packed) -> Tensor:
        ids, types, mask = pad(packed, self.padding)
        segments = {"token_type_ids": types} if self.typed else {}
        hidden: Tensor = self.model(input_ids=ids, attention_mask=mask.long(), **segments).last_hidden_state
        return hidden[mask]
