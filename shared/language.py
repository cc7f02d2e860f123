"""Which language a text is in, as far as our models' routes care."""

import re

from shared.errors import Reject

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,4}")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_KANA_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]+")


def primary(tag: str, text: str) -> str:
    """The primary language subtag of `tag`, or, where it is empty, of what `text` looks like.

    Raises:
        Reject: ``LANGUAGE_INVALID``.
    """
    if not tag:
        return detect(text)
    if not _TAG.fullmatch(tag):
        raise Reject("LANGUAGE_INVALID", "language must be a BCP 47 tag such as en or zh-Hans", "language")
    return tag.partition("-")[0].lower()


def detect(text: str) -> str:
    """Returns "zh" where Han characters outnumber Latin words (and there is no kana or Hangul), else "en".

    Counts a Han character as half a word, so that "我的 order 呢" is Chinese and "I live in 北京" is English. It tells the routes of our
    models apart and is no general language identifier: callers who know the language say so.
    """
    han = len(_HAN.findall(text))
    if not han or _KANA_HANGUL.search(text):
        return "en"
    return "zh" if han / 2 >= len(_LATIN.findall(text)) else "en"
