"""The encoding of a text that does not state it."""

import codecs
import re
import unicodedata

from aqreanalysis.observations.journal import ObservationError

#: Marks at the beginning of a text, the longer ones first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

#: Encodings of one region each, for the message; that of Western Europe is assumed where it fits.
WESTERN = "cp1252"
_OTHERS = ("cp1250", "cp1251", "cp1253", "cp1254", "gb18030", "big5", "cp932", "cp949", "cp850")

#: Signs beside letters with accents that stand in Western European names and units; and letters
#: that stand there seldom, but in place of Turkish ones.
_SIGNS = frozenset("°µ²³·ºª–’‘“”…§€ßæÆøØœŒ\xa0")
_TURKISH = frozenset("ýÝ")


def encoding_of(content: bytes) -> str:
    """Return the encoding of the beginning of a text, or of all of it.

    It is that of a mark at the beginning, UTF-16 where every other byte is zero, UTF-8 where that
    fits, and that of Western Europe where other bytes are single letters of its languages.

    Raises
    ------
    ObservationError
        If none of these fits. The message shows what other encodings make of the text.

    Examples
    --------
    >>> encoding_of("Zürich".encode()), encoding_of("Zürich,1".encode("latin-1"))
    ('utf-8-sig', 'cp1252')
    >>> encoding_of("station,time".encode("utf-16")), encoding_of("site".encode("utf-16-be"))
    ('utf-16', 'utf-16-be')
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    pairs = content[: 2 * (min(len(content), 200) // 2)]
    for zeros, others, encoding in ((1, 0, "utf-16-le"), (0, 1, "utf-16-be")):
        if pairs and not any(pairs[zeros::2]) and all(pairs[others::2]):
            return encoding
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError as error:
        if _is_western(content):
            return WESTERN
        raise ObservationError(
            "it is no text in UTF-8, but in another encoding or a binary file; name its encoding "
            f"with encoding=..., {_choices(content, error.start)}or save the table as CSV in UTF-8"
        ) from error
    return "utf-8-sig"


def _is_western(content: bytes) -> bool:
    """Return whether all bytes beyond ASCII are single letters and signs of Western Europe."""
    try:
        words = re.findall(r"[^\x00-\x7f]+", content.decode(WESTERN))
    except UnicodeDecodeError:
        return False
    signs = {sign for word in words for sign in word}
    letters = [sign for sign in signs if unicodedata.decomposition(sign)[:1] not in ("", "<")]
    is_text = b"\0" not in content and all(len(word) <= 2 for word in words)
    return is_text and signs <= _SIGNS | set(letters) - _TURKISH


def _choices(content: bytes, start: int) -> str:
    """Return what encodings make of the word with the first byte that is no UTF-8."""
    before = re.split(rb"[\r\n,;\t|]", content[max(start - 30, 0) : start])[-1]
    word = before + re.split(rb"[\r\n,;\t|]", content[start : start + 30])[0]
    read: dict[str, str] = {}
    for encoding in _OTHERS:
        text = word.decode(encoding, errors="replace").strip()
        if "\ufffd" not in text and text.isprintable():
            read.setdefault(text, encoding)
    if b"\0" in content or not read:
        return ""
    return f"{', '.join(f'{name!r} ({text})' for text, name in list(read.items())[:6])}, "
