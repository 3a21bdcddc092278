"""Where the sender's own words end, in lines of a text or of HTML as it is read: above signature and quoted history.

The rules are tables: what programs write above a message that they quote, in the languages they speak. Thunderbird's
FileLink and the libraries that hide history (quotequail, email_reply_parser) look for the same marks. Pure.
"""

import re

from pfilter.base.frozen import Frozen

# What a line is known to be by the element that it stands in; "" where only its words can tell.
OWN, QUOTE, SIGNATURE, HISTORY = "", "quote", "signature", "history"

# "On ... wrote:" (a word that is in each, what stands before the name or date, what stands behind it). Followed by a
# quotation, or with a time or an address in it.
ATTRIBUTIONS = (
    ("wrote", r"On\b", r"wrote"),  # English
    ("wrote", r"", r"wrote"),
    ("wrote", r"", r"wrote on\b.*"),
    ("schrieb", r"(?:Am|Den|Vom)\b", r"schrieb\b.*"),  # German
    ("schrieb", r"", r"schrieb(?: am\b.*)?"),
    ("crit", r"Le\b", r"(?:a |à )?[ée]crit"),  # French
    ("crit", r"", r"a [ée]crit"),
    ("escrib", r"El\b", r"escribi[óo]\b.*"),  # Spanish
    ("escrib", r"", r"escribi[óo]"),
    ("ha scritto", r"Il\b", r"ha scritto"),  # Italian
    ("ha scritto", r"", r"ha scritto"),
    ("escreveu", r"(?:Em|No dia|A|Às|On)\b", r"escreveu\b.*"),  # Portuguese
    ("escreveu", r"", r"escreveu"),
    ("schreef", r"Op\b", r"schreef\b.*"),  # Dutch
    ("geschreven", r"Op\b", r"heeft\b.*geschreven"),
    ("schreef", r"", r"schreef(?: op\b.*)?"),
    ("skrev", r"(?:Den|På|On)?\b", r"skrev\b.*"),  # Swedish, Danish, Norwegian
    ("kirjoitti", r"", r"kirjoitti\b.*"),  # Finnish
    ("napisał", r"", r"napisał(?:\(a\)|a)?"),  # Polish
    ("pisze", r"", r"pisze"),
    ("napsal", r"", r"napsal(?:\(a\)|a)?"),  # Czech
    ("написал", r"", r"написал(?:\(а\)|а)?"),  # Russian
    ("пишет", r"", r"пишет"),
    ("написав", r"", r"написав(?:\(ла\))?"),  # Ukrainian
    ("пише", r"", r"пише(?:\(ла\))?"),
    ("yazdı", r"", r"(?:şunu yazdı|yazdı)"),  # Turkish
    ("ezt írta", r"", r"ezt írta\b.*"),  # Hungarian
    ("a scris", r"", r"a scris"),  # Romanian
    ("のメール", r"\D{0,40}\d{4}", r"のメール"),  # Japanese, Chinese, Korean
    ("は書きました", r"\D{0,40}\d{4}", r"は書きました"),
    ("写道", r"\D{0,40}\d{4}", r"写道"),
    ("寫道", r"\D{0,40}\d{4}", r"寫道"),
    ("作成", r"\D{0,40}\d{4}", r"作成"),
    ("@", r"[^<>]{0,60}\d{4}[^<>]{0,100}<", r"[^<>\s]+@[^<>\s]+>"),  # Gmail in Russian, Japanese: date, address alone
)
# Above a message that is quoted or forwarded as it was: all that follows is no longer the sender's.
SEPARATORS = (
    "Original Message", "Original Appointment", "Forwarded message", "Reply message", "Mail original",
    "Ursprüngliche Nachricht", "Originalnachricht", "Original-Nachricht", "Weitergeleitete Nachricht",
    "Message d'origine", "Message original", "Message transféré", "Message transéré", "Message transmis",
    "E-mail d'origine",
    "Mensaje original", "Mensaje reenviado", "Mensagem original", "Mensagem encaminhada",
    "Messaggio originale", "Messaggio inoltrato", "Oorspronkelijk bericht", "Origineel bericht",
    "Doorgestuurd bericht", "Ursprungligt meddelande", "Originalmeddelande", "Vidarebefordrat meddelande",
    "Oprindelig meddelelse", "Videresendt meddelelse", "Opprinnelig melding", "Videresendt melding",
    "Alkuperäinen viesti", "Oryginalna wiadomość", "Wiadomość oryginalna", "Przekazana wiadomość",
    "Původní zpráva", "Přeposlaná zpráva", "Исходное сообщение", "Пересылаемое сообщение", "Original-meddelelse",
    "Özgün İleti", "Orijinal Mesaj", "Eredeti üzenet", "Mesaj original", "元のメッセージ", "転送メッセージ", "原始邮件",
    "原始郵件", "转发邮件", "转发的邮件", "원본 메시지",
)  # fmt: skip
# The same without hyphens around, alone on its line with a colon (Apple Mail).
FORWARDS = (
    "Begin forwarded message", "Anfang der weitergeleiteten Nachricht", "Anfang der weitergeleiteten E-Mail",
    "Début du message réexpédié", "Début du message transféré", "Inicio del mensaje reenviado",
    "Inizio messaggio inoltrato", "Início da mensagem encaminhada", "Begin doorgestuurd bericht",
    "Vidarebefordrat brev", "Start på videresendt besked", "Välitetty viesti alkaa",
    "Początek przekazywanej wiadomości", "Начало переадресованного сообщения", "転送されたメッセージ",
)  # fmt: skip
# The header that stands above a message as it was: the names of From, and of what follows it.
FROM = (
    "From", "Von", "De", "Da", "Van", "Från", "Fra", "Lähettäjä", "Od", "От", "Від", "Kimden", "Gönderen", "Feladó",
    "De la", "差出人", "发件人", "寄件者", "보낸 사람", "Expéditeur", "Afsender",
)  # fmt: skip
FURTHER = (
    "Sent", "Date", "To", "Cc", "Subject", "Reply-To", "Gesendet", "Datum", "An", "Kopie", "Betreff", "Envoyé", "À",
    "A", "Objet", "Sujet", "Enviado", "Enviado el", "Enviada em", "Fecha", "Para", "CC", "Asunto", "Assunto", "Data",
    "Inviato", "Oggetto", "Verzonden", "Aan", "Onderwerp", "Skickat", "Till", "Ämne", "Sendt", "Til", "Emne",
    "Lähetetty", "Päivämäärä", "Vastaanottaja", "Aihe", "Wysłano", "Wysłane", "Do", "DW", "Temat", "Odesláno",
    "Komu", "Předmět", "Отправлено", "Дата", "Кому", "Тема", "Копия", "Надіслано", "Gönderildi", "Gönderme Tarihi",
    "Kime", "Konu", "Tarih", "Elküldve", "Címzett", "Tárgy", "Trimis", "Către", "Subiect", "送信日時", "日付", "宛先",
    "件名", "发送时间", "日期", "收件人", "主题", "寄件日期", "收件者", "主旨", "보낸 날짜", "받는 사람", "제목",
)  # fmt: skip
# What telephones put below the words, without a delimiter of their own: the first word, and what follows it.
SENT_FROM = {
    "Sent": r"from my\b.*|(?:from|via) (?:Outlook|Mail|Yahoo|Samsung|Proton|Gmail|Spark)\b.*",
    "Get": r"Outlook for\b.*",
    "Von": r"meinem\b.*\bgesendet.*",
    "Gesendet": r"(?:von|mit)\b.*",
    "Outlook": r"für\b.*\bbeziehen.*",
    "Envoyé": r"(?:de mon|depuis)\b.*",
    "Obtenir": r"Outlook pour\b.*",
    "Télécharger": r"Outlook pour\b.*",
    "Enviado": r"(?:desde|do|de)\b.*",
    "Obtener": r"Outlook para\b.*",
    "Inviato": r"da\b.*",
    "Verstuurd": r"vanaf\b.*",
    "Verzonden": r"vanaf\b.*",
    "Skickat": r"från\b.*",
    "Sendt": r"fra\b.*",
    "Lähetetty": r"\w+sta\b.*",
    "Wysłane": r"z\b.*",
    "Отправлено": r"с\b.*",
}
SENT_FROM_BEGINNINGS = ("iPhoneから送信", "发自我的")

# One process handles one message, so what is not in it must not cost: words are looked up, and a pattern is only made
# where one of its words is there.
_SEPARATORS = frozenset(word.lower() for word in SEPARATORS)
_FORWARDS = frozenset(word.lower() for word in FORWARDS)
_FROM = frozenset(FROM)
_FURTHER = frozenset(FURTHER)
_LEADS = r"(?:On|Am|Le|El|Il|Em|Op|Den|På)\b.*\d"
_CERTAIN = r"\d[:.h]\d\d|@[^<>\s]+\.\w"  # a time, an address
_DATED = r"\d[./年-]\d|\d{4}|\d:\d\d|<|@|\bkl\b"
_DASHES = "-–—"
_FOOTER = 30  # underscores, of mailing lists; and of Outlook
_DELIMITERS = ("--", "-- ", "—", "– ")

LINES = 20_000  # more of them are not looked at; quoted ones that follow each other are one
HEADER_LINES = 6  # in which the rest of a header stands below its first
WRAPPED = 3  # lines of an attribution
LONGEST = 300  # characters of an attribution
WRAPPED_QUOTE = 66  # characters from which on a quoted line may have been wrapped


class Line(Frozen):
    """A line that is not blank."""

    text: str  # without blanks around it
    kind: str = OWN
    glued: bool = False  # whether it follows the line before without a blank one


class Found(Frozen):
    """Where the words end: before the line of this number, which may be one behind the last."""

    before: int
    history: bool  # whether anything is quoted, and not only signed


def words_end(lines: "list[Line]") -> Found | None:
    """Return where the sender's words end, None where nothing but words is known to be there.

    Words below a quotation are the sender's; below a signature and a quotation they are no more.
    """
    words = -1  # the last line of them
    history = marked = signed = below = False
    number = 0
    while number < len(lines):
        kind, count = _kind(lines, number)
        if kind == SIGNATURE:
            marked = signed = True
            below = below or not lines[number].kind  # what begins with a line ends with the next quotation
        elif kind != OWN:
            marked = history = True
            if signed or kind == HISTORY:
                break
        elif not below:
            words, signed = number, False
        number += count
    return Found(before=words + 1, history=history) if marked else None


def _kind(lines: "list[Line]", number: int) -> tuple[str, int]:
    """Return what a line is, and how many lines are one with it."""
    line = lines[number]
    if line.kind:
        return line.kind, 1
    if line.text.startswith((">", "＞")) and not line.text.startswith(">From "):  # which a mailbox file made of From
        return QUOTE, 1
    if line.text in _DELIMITERS or (len(line.text) < 100 and _is_sent_from(line.text)):
        return SIGNATURE, 1
    if _is_separator(lines, number):
        return HISTORY, 1
    count = _attribution(lines, number)
    if count:
        return (QUOTE if _is_quoted(lines, number + count) else HISTORY), count
    if _is_wrapped_quote(lines, number):
        return QUOTE, 1
    return OWN, 1


def _is_sent_from(text: str) -> bool:
    first, _, rest = text.partition(" ")
    pattern = SENT_FROM.get(first)
    return bool(pattern and re.fullmatch(pattern, rest)) or text.startswith(SENT_FROM_BEGINNINGS)


def _is_separator(lines: "list[Line]", number: int) -> bool:
    text = lines[number].text
    if _is_from(text):
        return _is_header(lines, number)
    if len(text) > LONGEST:
        return False
    if _is_wrote_between(text) or (len(text) >= _FOOTER and not text.strip("_")) or says_that_a_message_follows(text):
        return True
    return _is_rule(text) and _further(lines, number + 1) >= 2


def says_that_a_message_follows(text: str) -> bool:
    """Whether a line is one that programs put above a message as it was."""
    if len(text) > LONGEST:
        return False
    plain = text.replace("’", "'").lower()
    if plain.endswith(":") and plain[:-1].removesuffix(" ") in _FORWARDS:
        return True
    inside = plain.lstrip(_DASHES)
    if len(plain) - len(inside) < 3:
        return False
    # Dashes again, and maybe a number or the like behind them.
    for at in range(len(inside) - 2):
        if not inside[at : at + 3].strip(_DASHES):
            return inside[:at].removeprefix(" ").removesuffix(" ").removesuffix(":") in _SEPARATORS
    return False


def _is_wrote_between(text: str) -> bool:
    """Whether it is "---- On ... wrote ----", of Zoho Mail and Foxmail."""
    inside = text.strip("-=")
    if not (
        text.startswith(text[:1] * 3)
        and text[-3:] == text[-1:] * 3
        and inside.startswith((" On ", " At ", "On ", "At "))
    ):
        return False
    return inside.removesuffix(" ").removesuffix(":").endswith(" wrote")


def _is_rule(text: str) -> bool:
    """Whether it is a separator where a header follows it."""
    inside = text.strip("-")
    if not inside or not text.strip("_"):
        return len(text) >= 20
    if not text.strip(_DASHES):
        return len(text) >= 10
    return text.startswith("----") and text.endswith("----") and len(inside) > 1


def _is_header(lines: "list[Line]", number: int) -> bool:
    if lines[number].kind or not _is_from(lines[number].text):
        return False
    return _further(lines, number + 1) >= 2


def _further(lines: "list[Line]", number: int) -> int:
    """Return how many fields of a header stand in the lines from this one on."""
    return sum(_field(line.text)[0] in _FURTHER for line in lines[number : number + HEADER_LINES])


def _is_from(text: str) -> bool:
    name, value = _field(text)
    return name in _FROM and bool(value.removeprefix(" ")[:1].strip())


def _field(text: str) -> tuple[str, str]:
    """Return the name and value of what may be a field of a header, as it is shown: bold (*Name:*) or not."""
    start, _, value = text[:LONGEST].replace("：", ":", 1).partition(":")
    return start.removeprefix("*").removesuffix(" ").removesuffix("*"), value


def _attribution(lines: "list[Line]", number: int) -> int:
    """Return how many lines, from this one on, say who wrote what follows; 0 where they do not."""
    text = ""
    texts = [line.text for line in lines[number : number + WRAPPED]]
    for count, line in enumerate(lines[number : number + WRAPPED], 1):
        if (count > 1 and not line.glued) or line.text.startswith(">") or line.kind:
            return 0
        text += (" " if text else "") + line.text
        if len(text) > LONGEST:
            return 0
        if not _is_written(text) or not (re.search(_CERTAIN, text) or _is_quoted(lines, number + count)):
            continue
        # The line in front may be the last of the words: then a later one begins it, or it has nothing to do with it.
        if count == 1 or (re.search(_DATED, texts[0]) and not any(re.match(_LEADS, later) for later in texts[1:count])):
            return count
    return 0


def _is_written(text: str) -> bool:
    """Whether a text says that somebody wrote, at its end."""
    if not text.endswith((":", "：")):
        address = text[text.rfind("@") + 1 :]
        if "@" not in text or not address.endswith(">") or len(address) < 2 or set(address[:-1]) & set("<> \t\xa0"):
            return False
    stripped = text.rstrip(":： \xa0")
    return any(
        re.fullmatch(f"{before}.*{verb}" if before else rf"\S.*\b{verb}", stripped)
        for word, before, verb in ATTRIBUTIONS
        if word in stripped
    )


def _is_quoted(lines: "list[Line]", number: int) -> bool:
    return number < len(lines) and (lines[number].kind == QUOTE or lines[number].text.startswith(">"))


def _is_wrapped_quote(lines: "list[Line]", number: int) -> bool:
    """Whether a line is the rest of a quoted one that a program wrapped: short, between quoted lines, without a gap."""
    if not 0 < number < len(lines) - 1:
        return False
    before, line, after = lines[number - 1 : number + 2]
    return (
        before.text.startswith(">")
        and after.text.startswith(">")
        and line.glued
        and after.glued
        and len(line.text) < len(before.text)
        and len(before.text) >= WRAPPED_QUOTE
    )
