"""Where the sender's own words end, in lines of a text or of HTML as it is read: above signature and quoted history.

The rules are tables: what programs write above a message that they quote, in the languages they speak. Thunderbird's
FileLink and the libraries that hide history (quotequail, email_reply_parser) look for the same marks. Pure.
"""

import re

from pfilter.base.frozen import Frozen

# What a line is known to be by the element that it stands in; "" where only its words can tell.
OWN, QUOTE, SIGNATURE, HISTORY = "", "quote", "signature", "history"

# "On ... wrote:" (what stands before the name or date, what stands behind it). Followed by a quotation, or with a time
# or an address in it.
ATTRIBUTIONS = (
    (r"On\b", r"wrote"),  # English
    (r"", r"wrote"),
    (r"", r"wrote on\b.*"),
    (r"(?:Am|Den|Vom)\b", r"schrieb\b.*"),  # German
    (r"", r"schrieb(?: am\b.*)?"),
    (r"Le\b", r"(?:a |à )?[ée]crit"),  # French
    (r"", r"a [ée]crit"),
    (r"El\b", r"escribi[óo]\b.*"),  # Spanish
    (r"", r"escribi[óo]"),
    (r"Il\b", r"ha scritto"),  # Italian
    (r"", r"ha scritto"),
    (r"(?:Em|No dia|A|Às|On)\b", r"escreveu\b.*"),  # Portuguese
    (r"", r"escreveu"),
    (r"Op\b", r"(?:schreef\b.*|heeft\b.*geschreven)"),  # Dutch
    (r"", r"schreef(?: op\b.*)?"),
    (r"(?:Den|På|On)?\b", r"skrev\b.*"),  # Swedish, Danish, Norwegian
    (r"", r"kirjoitti\b.*"),  # Finnish
    (r"", r"(?:napisał(?:\(a\)|a)?|pisze)"),  # Polish
    (r"", r"napsal(?:\(a\)|a)?"),  # Czech
    (r"", r"(?:написал(?:\(а\)|а)?|пишет)"),  # Russian
    (r"", r"(?:написав|пише)(?:\(ла\))?"),  # Ukrainian
    (r"", r"(?:şunu yazdı|yazdı)"),  # Turkish
    (r"", r"ezt írta\b.*"),  # Hungarian
    (r"", r"a scris"),  # Romanian
    (r"\D{0,40}\d{4}", r"(?:のメール|さんは書きました|は書きました|写道|寫道|作成)"),  # Japanese, Chinese, Korean
    (r"[^<>]{0,60}\d{4}[^<>]{0,100}<", r"[^<>\s]+@[^<>\s]+>"),  # Gmail in Russian, Japanese: date and address alone
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
# What telephones put below the words, without a delimiter of their own.
SENT_FROM = (
    r"Sent from my\b.*", r"Sent (?:from|via) (?:Outlook|Mail|Yahoo|Samsung|Proton|Gmail|Spark)\b.*",
    r"Get Outlook for\b.*", r"Von meinem\b.*\bgesendet.*", r"Gesendet (?:von|mit)\b.*", r"Outlook für\b.*\bbeziehen.*",
    r"Envoyé (?:de mon|depuis)\b.*", r"Obtenir Outlook pour\b.*", r"Télécharger Outlook pour\b.*",
    r"Enviado (?:desde|do|de)\b.*", r"Obtener Outlook para\b.*", r"Inviato da\b.*", r"Verstuurd vanaf\b.*",
    r"Verzonden vanaf\b.*", r"Skickat från\b.*", r"Sendt fra\b.*", r"Lähetetty \w+sta\b.*", r"Wysłane z\b.*",
    r"Отправлено с\b.*", r"iPhoneから送信.*", r"发自我的.*",
)  # fmt: skip


def _any(words: "tuple[str, ...]") -> str:
    return "|".join(re.escape(word).replace("'", "['’]") for word in sorted(words, key=len, reverse=True))


_LED = re.compile("|".join(rf"{before}.*{verb}" for before, verb in ATTRIBUTIONS if before))
_LEADS = re.compile(r"(?:On|Am|Le|El|Il|Em|Op|Den|På)\b.*\d")
_UNLED = re.compile("|".join(rf"\S.*\b{verb}" for before, verb in ATTRIBUTIONS if not before))
_VERB = re.compile(  # one of which each of them has, or an address: most lines have none
    r"@|wrote|schrieb|crit|escrib|escreveu|schreef|geschreven|skrev|kirjoitti|napis|pisze|napsal|напис|пише|yazd|írta"
    r"|a scris|のメール|書きました|[写寫]道|作成"
)
_ATTRIBUTION_END = re.compile(r"[:：]$|@[^<>\s]+>:?$")
_CERTAIN = re.compile(r"\d[:.h]\d\d|@[^<>\s]+\.\w")  # a time, an address
_DATED = re.compile(r"\d[./年-]\d|\d{4}|\d:\d\d|<|@|\bkl\b")
_SEPARATOR = re.compile(rf"(?i)[-–—]{{3,}} ?(?:{_any(SEPARATORS)}):? ?[-–—]{{3,}}(?: ?.*)?|(?:{_any(FORWARDS)}) ?:")
_WROTE_BETWEEN = re.compile(r"[-=]{3,} ?(?:On|At)\b.* wrote:? ?[-=]{3,}")  # Zoho Mail, Foxmail
_RULE = re.compile(r"_{20,}|-{4,}[^-].*[^-]-{4,}|-{20,}|[–—]{10,}")  # a separator where a header follows it
_FOOTER = re.compile(r"_{30,}")  # of mailing lists; and of Outlook
_FROM = re.compile(rf"\*?(?:{_any(FROM)})\*? ?[:：]\*? ?\S")
_FURTHER = re.compile(rf"\*?(?:{_any(FURTHER)})\*? ?[:：]")
_SENT_FROM = re.compile("|".join(SENT_FROM))
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
    if line.text in _DELIMITERS or (len(line.text) < 100 and _SENT_FROM.fullmatch(line.text)):
        return SIGNATURE, 1
    if _is_separator(lines, number):
        return HISTORY, 1
    count = _attribution(lines, number)
    if count:
        return (QUOTE if _is_quoted(lines, number + count) else HISTORY), count
    if _is_wrapped_quote(lines, number):
        return QUOTE, 1
    return OWN, 1


def _is_separator(lines: "list[Line]", number: int) -> bool:
    text = lines[number].text
    if _FROM.match(text):
        return _is_header(lines, number)
    if len(text) > LONGEST:
        return False
    if not text.startswith(("-", "–", "—", "=", "_")) and not text.endswith((":", "：")):
        return False
    if any(pattern.fullmatch(text) for pattern in (_SEPARATOR, _WROTE_BETWEEN, _FOOTER)):
        return True
    return bool(_RULE.fullmatch(text)) and _further(lines, number + 1) >= 2


def says_that_a_message_follows(text: str) -> bool:
    """Whether a line is one that programs put above a message as it was."""
    return len(text) <= LONGEST and bool(_SEPARATOR.fullmatch(text))


def _is_header(lines: "list[Line]", number: int) -> bool:
    if lines[number].kind or not _FROM.match(lines[number].text):
        return False
    return _further(lines, number + 1) >= 2


def _further(lines: "list[Line]", number: int) -> int:
    """Return how many fields of a header stand in the lines from this one on."""
    return sum(bool(_FURTHER.match(line.text)) for line in lines[number : number + HEADER_LINES])


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
        if not _ATTRIBUTION_END.search(text) or not _VERB.search(text):
            continue
        stripped = text.rstrip(":： \xa0")
        led = _LED.fullmatch(stripped)
        if not (led or _UNLED.fullmatch(stripped)) or not (_CERTAIN.search(text) or _is_quoted(lines, number + count)):
            continue
        # The line in front may be the last of the words: then a later one begins it, or it has nothing to do with it.
        if count == 1 or (_DATED.search(texts[0]) and not any(map(_LEADS.match, texts[1:count]))):
            return count
    return 0


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
