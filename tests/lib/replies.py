"""Mail as programs write it, with § where the notice belongs: a table of cases, by what they show.

Each case is the body of a message as text, as HTML, or both; where both are there they are two forms of one message,
and say the same.
"""

from typing import NamedTuple


class Case(NamedTuple):
    """One message. `reply` is whether its header says that it answers another."""

    text: str = ""
    html: str = ""
    reply: bool = True
    # The sender's words stand below history: libraries that show only what is above it hide them, and the notice.
    below_history: bool = False


WORDS = "Hi Bob,\n\nhere are the plans.\n\nAnn\n"
QUOTED = "> Could you send me the plans?\n> Bob\n"

ATTRIBUTIONS = {
    "English": "On Tue, Nov 24, 2026 at 10:00 AM Bob <bob@example.com> wrote:",
    "English, Thunderbird": "On 24/11/2026 10:00, Bob wrote:",
    "English, Apple": "On Nov 24, 2026, at 10:00, Bob <bob@example.com> wrote:",
    "English, wrapped": "On Tue, Nov 24, 2026 at 10:00 AM Bob Some-Long-Name\n<bob.some-long-name@example.com> wrote:",
    "English, wrapped twice": "On Tue, Nov 24, 2026 at 10:00 AM\nBob Some-Long-Name\n<bob@example.com> wrote:",
    "English, name first": "Bob <bob@example.com> wrote on 24 Nov 2026, 10:00:",
    "English, name alone": "Bob wrote:",
    "German": "Am 24.11.26 um 10:00 schrieb Bob:",
    "German, Gmail": "Am Di., 24. Nov. 2026 um 10:00 Uhr schrieb Bob <bob@example.com>:",
    "German, wrapped": "Am Di., 24. Nov. 2026 um 10:00 Uhr schrieb Bob Langer-Name <\nbob@example.com>:",
    "German, name first": "Bob <bob@example.com> schrieb am Di., 24. Nov. 2026, 10:00:",
    "French": "Le 24/11/2026 à 10:00, Bob a écrit :",
    "French, Gmail": "Le mar. 24 nov. 2026 à 10:00, Bob <bob@example.com> a écrit\xa0:",
    "Spanish": "El 24/11/26 a las 10:00, Bob escribió:",
    "Spanish, Gmail": "El mar, 24 nov 2026 a las 10:00, Bob (<bob@example.com>) escribió:",
    "Italian": "Il 24/11/2026 10:00, Bob ha scritto:",
    "Italian, Gmail": "Il giorno mar 24 nov 2026 alle ore 10:00 Bob <bob@example.com> ha scritto:",
    "Portuguese": "Em ter., 24 de nov. de 2026 às 10:00, Bob <bob@example.com> escreveu:",
    "Dutch": "Op 24-11-2026 om 10:00 schreef Bob:",
    "Dutch, Apple": "Op 24 nov. 2026 om 10:00 heeft Bob <bob@example.com> het volgende geschreven:",
    "Swedish": "Den tis 24 nov. 2026 kl 10:00 skrev Bob <bob@example.com>:",
    "Danish": "Den 24.11.2026 kl. 10.00 skrev Bob:",
    "Norwegian": "tir. 24. nov. 2026 kl. 10:00 skrev Bob <bob@example.com>:",
    "Finnish": "ti 24. marrask. 2026 klo 10.00 Bob (bob@example.com) kirjoitti:",
    "Polish": "W dniu 24.11.2026 o 10:00, Bob pisze:",
    "Polish, Gmail": "wt., 24 lis 2026 o 10:00 Bob <bob@example.com> napisał(a):",
    "Czech": "út 24. 11. 2026 v 10:00 odesílatel Bob <bob@example.com> napsal:",
    "Russian": "вт, 24 нояб. 2026 г. в 10:00, Bob <bob@example.com>:",
    "Russian, Thunderbird": "24.11.2026 10:00, Bob пишет:",
    "Turkish": "Bob <bob@example.com>, 24 Kas 2026 Sal, 10:00 tarihinde şunu yazdı:",
    "Hungarian": "Bob <bob@example.com> ezt írta (időpont: 2026. nov. 24., K, 10:00):",
    "Japanese": "2026年11月24日(火) 10:00 Bob <bob@example.com>:",
    "Chinese": "Bob <bob@example.com> 于2026年11月24日周二 10:00写道：",
}

SEPARATORS = {
    "English": "-----Original Message-----",
    "English, Samsung": "-------- Original message --------",
    "English, forward": "---------- Forwarded message ---------",
    "English, Apple": "Begin forwarded message:",
    "German": "-----Ursprüngliche Nachricht-----",
    "German, forward": "-------- Weitergeleitete Nachricht --------",
    "French": "-----Message d'origine-----",
    "French, curly": "-----Message d\u2019origine-----",
    "Spanish": "-----Mensaje original-----",
    "Italian": "-----Messaggio originale-----",
    "Portuguese": "-----Mensagem original-----",
    "Dutch": "-----Oorspronkelijk bericht-----",
    "Swedish": "-----Ursprungligt meddelande-----",
    "Danish": "-----Oprindelig meddelelse-----",
    "Norwegian": "-----Opprinnelig melding-----",
    "Finnish": "-----Alkuperäinen viesti-----",
    "Polish": "-----Oryginalna wiadomość-----",
    "Russian": "-----Исходное сообщение-----",
    "Japanese": "-----元のメッセージ-----",
}

HEADERS = {
    "English": "From: Bob <bob@example.com>\nSent: Tuesday, November 24, 2026 10:00 AM\nTo: Ann <ann@example.org>\n"
    "Subject: Plans",
    "English, bold": "*From:* Bob <bob@example.com>\n*Sent:* Tuesday, November 24, 2026 10:00 AM\n"
    "*To:* Ann <ann@example.org>\n*Subject:* Plans",
    "English, below a line": "________________________________\nFrom: Bob <bob@example.com>\n"
    "Sent: Tuesday, November 24, 2026 10:00\nTo: Ann\nSubject: Plans",
    "German": "Von: Bob <bob@example.com>\nGesendet: Dienstag, 24. November 2026 10:00\nAn: Ann\nBetreff: Pläne",
    "French": "De : Bob <bob@example.com>\nEnvoyé : mardi 24 novembre 2026 10:00\nÀ : Ann\nObjet : Plans",
    "Spanish": "De: Bob <bob@example.com>\nEnviado: martes, 24 de noviembre de 2026 10:00\nPara: Ann\nAsunto: Planos",
    "Italian": "Da: Bob <bob@example.com>\nInviato: martedì 24 novembre 2026 10:00\nA: Ann\nOggetto: Piani",
    "Portuguese": "De: Bob <bob@example.com>\nEnviada em: terça-feira, 24 de novembro de 2026 10:00\nPara: Ann\n"
    "Assunto: Planos",
    "Dutch": "Van: Bob <bob@example.com>\nVerzonden: dinsdag 24 november 2026 10:00\nAan: Ann\nOnderwerp: Plannen",
    "Swedish": "Från: Bob <bob@example.com>\nSkickat: den 24 november 2026 10:00\nTill: Ann\nÄmne: Planer",
    "Danish": "Fra: Bob <bob@example.com>\nSendt: 24. november 2026 10:00\nTil: Ann\nEmne: Planer",
    "Finnish": "Lähettäjä: Bob <bob@example.com>\nLähetetty: tiistai 24. marraskuuta 2026 10.00\n"
    "Vastaanottaja: Ann\nAihe: Piirustukset",
    "Polish": "Od: Bob <bob@example.com>\nWysłano: wtorek, 24 listopada 2026 10:00\nDo: Ann\nTemat: Plany",
    "Russian": "От: Bob <bob@example.com>\nОтправлено: 24 ноября 2026 г. 10:00\nКому: Ann\nТема: Планы",
    "Japanese": "差出人: Bob <bob@example.com>\n送信日時: 2026年11月24日 10:00\n宛先: Ann\n件名: 図面",
}

EARLIER = (  # a notice of ours, in an earlier message of a thread
    "1 file to download, available until 1 December 2026, 10:00 UTC\n\n  old.bin (1 kB)\n\n"
    "https://files.example.org/d/old/\n"
)

# --- Texts

TEXTS = {
    **{f"attribution: {name}": Case(f"{WORDS}§\n{line}\n\n{QUOTED}") for name, line in ATTRIBUTIONS.items()},
    **{
        f"attribution, unmarked quotation: {name}": Case(f"{WORDS}§\n{line}\n\nCould you send me the plans?\nBob\n")
        for name, line in ATTRIBUTIONS.items()
        if "alone" not in name
    },
    **{
        f"separator: {name}": Case(f"{WORDS}§\n{line}\nFrom: Bob\nTo: Ann\n\nCould you send me the plans?\n")
        for name, line in SEPARATORS.items()
    },
    **{f"header: {name}": Case(f"{WORDS}§\n{lines}\n\nCould you send?\n") for name, lines in HEADERS.items()},
    "attribution without an empty line": Case(f"Hello\n§On 24/11/2026 10:00, Bob wrote:\n{QUOTED}"),
    "attribution without an empty line, name first": Case(
        f'Hello\n§02.04.2012 14:20 пользователь "Bob" <\nbob@example.com> написал:\n\n{QUOTED}'
    ),
    "attribution below words that begin like one": Case(
        f"On Monday at 10:00 we start.\n§On 24/11/2026 10:00, Bob\n<bob@example.com> wrote:\n{QUOTED}"
    ),
    "forward, subject first": Case(
        "§-------- Weitergeleitet --------\nBetreff: Pläne\nDatum: heute\nVon: Bob\nAn: Ann\n\nHi\n", reply=False
    ),
    "words that a mailbox file quoted": Case(">From here on\nall is well.\n\n>From there\nas well.\n§", reply=False),
    "Foxmail": Case(f"{WORDS}§\n======= At 2026-11-24, 12:25:00 you wrote: =======\n\n>Hi\n"),
    "Zoho": Case(f"{WORDS}§\n---- On Tue, 24 Nov 2026 10:00:00 +0100 Bob <bob@example.com> wrote ----\n\nHi\n"),
    "quotation at once": Case(f"{WORDS}§\n{QUOTED}"),
    "quotation without an empty line": Case(f"here they are§{QUOTED}".replace("§", "\n§")),
    "signature": Case(f"{WORDS}§\n-- \nAnn Smith\nExample Ltd.\n", reply=False),
    "signature, blank lost": Case(f"{WORDS}§\n--\nAnn Smith\nExample Ltd.\n", reply=False),
    "signature, then quotation": Case(f"{WORDS}§\n-- \nAnn Smith\n\nOn 24/11/2026 10:00, Bob wrote:\n{QUOTED}"),
    "signature of a telephone": Case(f"{WORDS}§\nSent from my iPhone\n\n> On 24 Nov 2026, Bob wrote:\n> {QUOTED}"),
    "signature of a telephone, German": Case(f"{WORDS}§\nVon meinem iPhone gesendet\n", reply=False),
    "Outlook for iOS": Case(f"{WORDS}§\nGet Outlook for iOS<https://aka.ms/o0ukef>\n{HEADERS['English, below a line']}\n\nHi\n"),
    "nothing but a quotation": Case(f"§On 24/11/2026 10:00, Bob wrote:\n{QUOTED}"),
    "nothing but a signature": Case("§-- \nAnn Smith\n", reply=False),
    "answer below": Case(f"On 24/11/2026 10:00, Bob wrote:\n{QUOTED}\n{WORDS}§", below_history=True),
    "answer below, signed": Case(
        f"On 24/11/2026 10:00, Bob wrote:\n{QUOTED}\n{WORDS}§\n-- \nAnn Smith\n", below_history=True
    ),
    "answers in between": Case(
        "Hi Bob,\n\nOn 24/11/2026 10:00, Bob wrote:\n> Plans?\n\nHere.\n\n> And the rest?\n> Bob\n\nTomorrow.\n§\n"
        "> Thanks\n\n-- \nAnn\n",
        below_history=True,
    ),
    "answers in between, last quotation unanswered": Case(
        "On 24/11/2026 10:00, Bob wrote:\n> Plans?\nHere.\n§> And the rest?\n> Bob\n", below_history=True
    ),
    "quoted lines that were wrapped": Case(
        f"{WORDS}§\nOn 24/11/2026 10:00, Bob wrote:\n"
        "> Could you please be so kind as to send me the plans of the new bridge\nby Friday\n> at the latest?\n"
    ),
    "quotation, then the footer of a list": Case(
        f"{WORDS}§\n-- \nAnn\n\nOn 24/11/2026 10:00, Bob wrote:\n{QUOTED}"
        "_______________________________________________\nbridges mailing list\nbridges@lists.example.org\n"
    ),
    "signature, quotation, then a disclaimer": Case(
        f"{WORDS}§\n-- \nAnn\n\nOn 24/11/2026 10:00, Bob wrote:\n{QUOTED}\nThis message is confidential.\n"
    ),
    "an earlier notice in the quotation": Case(
        f"{WORDS}§\nOn 24/11/2026 10:00, Bob wrote:\n" + "".join(f"> {line}\n" for line in EARLIER.splitlines())
    ),
    "an earlier notice in what Outlook quotes": Case(f"{WORDS}§\n{HEADERS['English']}\n\nHi Ann,\n\n{EARLIER}"),
    "an earlier notice among the words": Case(f"As I wrote:\n\n{EARLIER}\nAnn\n§\n-- \nAnn\n", reply=False),
    "words that look like it": Case(
        "Agenda:\n\nVon: 10:00\n\n- On Monday Bob wrote:\n\n5 > 3\n\nDate: to be found\n\nAnn\n§",
        reply=False,
    ),
    "no boundary, no reply": Case(f"{WORDS}§", reply=False),
    "no boundary, a reply": Case(f"§{WORDS}"),
    "empty": Case("§", reply=False),
}  # fmt: skip

# --- HTML

_P = "<p>Hi Bob,</p><p>here are the plans.</p>"

HTMLS = {
    "Gmail": Case(
        html='<div dir="ltr">Hi Bob,<div><br></div><div>here are the plans.</div></div>§<br>'
        '<div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">On Tue, Nov 24, 2026 at '
        '10:00 AM Bob &lt;<a href="mailto:bob@example.com">bob@example.com</a>&gt; wrote:<br></div>'
        '<blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);'
        'padding-left:1ex"><div dir="ltr">Could you send me the plans?</div></blockquote></div>\n'
    ),
    "Gmail, signed": Case(
        html='<div dir="ltr">here are the plans.§<br clear="all"><div><br></div>'
        '<span class="gmail_signature_prefix">-- </span><br><div dir="ltr" class="gmail_signature" '
        'data-smartmail="gmail_signature"><div dir="ltr">Ann Smith</div></div></div><br>'
        '<div class="gmail_quote"><div dir="ltr" class="gmail_attr">On Tue, Bob wrote:<br></div>'
        '<blockquote class="gmail_quote">Plans?</blockquote></div>'
    ),
    "Gmail, forward": Case(
        html='<div dir="ltr">FYI§<br><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">---------- Forwarded '
        "message ---------<br>From: <strong>Bob</strong><br>Date: Tue</div><br><br>Plans?<blockquote>old</blockquote>"
        "<div>Bob</div></div></div>",
        reply=False,
    ),
    "Gmail, answer below": Case(
        html='<div dir="ltr"><div class="gmail_quote"><div dir="ltr" class="gmail_attr">On Tue, Bob wrote:<br></div>'
        '<blockquote class="gmail_quote"><div>Plans?</div></blockquote><div>Here.</div></div></div>\n§',
        below_history=True,
    ),
    "Gmail, answers in between": Case(
        html='<div dir="ltr"><div class="gmail_quote"><div class="gmail_attr">On Tue, Bob wrote:<br></div>'
        '<blockquote class="gmail_quote">Plans?</blockquote><div>Here.</div>§<blockquote class="gmail_quote">And the '
        "rest?</blockquote></div></div>",
        below_history=True,
    ),
    "Thunderbird": Case(
        html='<!DOCTYPE html>\n<html><head><meta http-equiv="Content-Type" content="text/html; charset=UTF-8"></head>'
        f'<body>{_P}\n§<div class="moz-cite-prefix">On 24/11/2026 10:00, Bob wrote:<br></div>\n'
        '<blockquote type="cite" cite="mid:1@example.com"><p>Could you send me the plans?</p></blockquote>\n'
        "</body></html>\n"
    ),
    "Thunderbird, signed above": Case(
        html=f'<body>{_P}§<div class="moz-signature">-- <br>Ann Smith</div><div class="moz-cite-prefix">On 24/11/2026 '
        '10:00, Bob wrote:<br></div><blockquote type="cite">Plans?</blockquote></body>'
    ),
    "Thunderbird, answer below, signed": Case(
        html='<body><div class="moz-cite-prefix">On 24/11/2026 10:00, Bob wrote:<br></div><blockquote type="cite">'
        f'Plans?</blockquote>{_P}§<div class="moz-signature">-- <br>Ann Smith</div></body>',
        below_history=True,
    ),
    "Thunderbird, pre signature": Case(
        html=f'<body>{_P}§<pre class="moz-signature" cols="72">-- \nAnn Smith</pre></body>', reply=False
    ),
    "Thunderbird, forward": Case(
        html=f'<body>{_P}§<div class="moz-forward-container"><br><br>-------- Forwarded Message --------<table>'
        "<tr><th>Subject: </th><td>Plans</td></tr></table><p>Plans?</p></div></body>",
        reply=False,
    ),
    "Outlook": Case(
        html='<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><!--[if !mso]><style>v\\:* {}</style>'
        '<![endif]--><style><!-- p.MsoNormal {margin:0cm} --></style></head><body lang="EN-GB"><div '
        'class="WordSection1"><p class="MsoNormal">Hi Bob,<o:p></o:p></p><p class="MsoNormal">here are the plans.'
        '<o:p></o:p></p>§<p class="MsoNormal"><o:p>&nbsp;</o:p></p><div><div style="border:none;border-top:solid '
        '#E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm"><p class="MsoNormal"><b><span lang="EN-US">From:</span></b><span '
        'lang="EN-US"> Bob &lt;bob@example.com&gt; <br><b>Sent:</b> Tuesday, November 24, 2026 10:00 AM<br><b>To:</b> '
        'Ann<br><b>Subject:</b> Plans<o:p></o:p></span></p></div></div><p class="MsoNormal">Could you send me the '
        "plans?<o:p></o:p></p></div></body></html>"
    ),
    "Outlook, its line as others rewrite it": Case(
        html='<div><p>here are the plans.</p>§<div style="border-right: none; border-bottom: none; border-left: none; '
        'border-top: 1pt solid rgb(181, 196, 223); padding: 3pt 0cm 0cm;"><p><b>From: </b>Bob</p></div><p>Plans?</p></div>'
    ),
    "Outlook, its line in three styles": Case(
        html='<div><p>here are the plans.</p>§<div style="border-width:1pt medium medium;border-style:solid none none;'
        'padding:3pt 0in 0in"><p><b>From: </b>Bob</p></div><p>Plans?</p></div>'
    ),
    "Outlook, signed": Case(
        html='<body><div class="WordSection1"><p class="MsoNormal">here are the plans.<o:p></o:p></p>§<p '
        'class="MsoNormal"><o:p>&nbsp;</o:p></p><p class="MsoNormal"><a name="_MailAutoSig"><b>Ann Smith</b></a></p>'
        '<div style="border:none;border-top:solid #B5C4DF 1.0pt;padding:3.0pt 0in 0in 0in"><p><b>Von:</b> Bob<br>'
        "<b>Gesendet:</b> heute</p></div><p>Plans?</p></div></body>"
    ),
    "Outlook on the web": Case(
        html='<html><head><style type="text/css" style="display:none;">P {margin-top:0;}</style></head><body dir="ltr">'
        '<div class="elementToProof" style="font-size: 12pt;">here are the plans.</div>§<div id="appendonsend"></div>'
        '<hr tabindex="-1" style="display:inline-block;width:98%"><div id="divRplyFwdMsg" dir="ltr"><font '
        'face="Calibri, sans-serif"><b>From:</b> Bob<br><b>Sent:</b> Tuesday<br></font><div>&nbsp;</div></div>'
        "<div>Could you send me the plans?</div></body></html>"
    ),
    "Outlook on the web, signed": Case(
        html='<body dir="ltr"><div>here are the plans.</div>§<div><br></div><div id="Signature"><div>Ann Smith</div></div>'
        '<div id="appendonsend"></div><hr><div id="divRplyFwdMsg"><b>From:</b> Bob</div><div>Plans?</div></body>'
    ),
    "Outlook on the web, a new message": Case(
        html='<body dir="ltr"><div>here are the plans.</div>§<div id="Signature"><p>Ann Smith</p></div></body>',
        reply=False,
    ),
    "Outlook for iOS": Case(
        html='<body><div dir="ltr">here are the plans.</div>§<div><br></div><div class="ms-outlook-mobile-signature" '
        'id="ms-outlook-mobile-signature">Get <a href="https://aka.ms/o0ukef">Outlook for iOS</a></div><hr>'
        '<div id="divRplyFwdMsg"><b>From:</b> Bob</div><div>Plans?</div></body>'
    ),
    "Apple Mail": Case(
        html='<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head><body '
        'style="overflow-wrap: break-word;">Hi Bob,<div><br></div><div>here are the plans.</div><div><br></div><div>Ann'
        '§<br id="lineBreakAtBeginningOfMessage"><div><br><blockquote type="cite"><div>On 24 Nov 2026, at 10:00, Bob '
        '&lt;bob@example.com&gt; wrote:</div><br class="Apple-interchange-newline"><div>Plans?</div></blockquote></div>'
        "<br></div></body></html>"
    ),
    "iOS": Case(
        html='<html><head></head><body dir="auto">here are the plans.§<br id="lineBreakAtBeginningOfSignature"><div '
        'dir="ltr">Sent from my iPhone</div><div dir="ltr"><br><blockquote type="cite">On 24 Nov 2026, at 10:00, Bob '
        '&lt;bob@example.com&gt; wrote:<br><br></blockquote></div><blockquote type="cite"><div dir="ltr">\ufeff<div>Plans?'
        "</div></div></blockquote></body></html>"
    ),
    "Apple Mail, signature": Case(
        html='<body><div>here are the plans.</div>§<div id="AppleMailSignature">Ann Smith</div></body>', reply=False
    ),
    "Yahoo": Case(
        html='<html><head></head><body><div class="ydp1yahoo-style-wrap"><div dir="ltr">here are the plans.</div></div>§'
        '<div id="yahoo_quoted_1" class="yahoo_quoted"><div><div>On Tuesday, November 24, 2026 at 10:00:00 AM GMT+1, '
        "Bob &lt;bob@example.com&gt; wrote: </div><div><br></div><div>Plans?</div></div></div></body></html>"
    ),
    "Proton Mail": Case(
        html='<div style="font-family: Arial;">here are the plans.</div>§<div class="protonmail_signature_block"><div '
        'class="protonmail_signature_block-user">Ann</div></div><div class="protonmail_quote">On Tuesday, Bob wrote:<br>'
        '<blockquote class="protonmail_quote" type="cite">Plans?</blockquote><br></div>'
    ),
    "GMX": Case(
        html='<html><head></head><body><div>here are the plans.§<div>&nbsp;<div name="quote" style="margin:10px 5px 5px '
        '10px;border-left:2px solid #C3D9E5;"><div><b>Gesendet:</b>&nbsp;Dienstag<br/><b>Von:</b>&nbsp;Bob</div>'
        '<div name="quoted-content">Plans?</div></div></div></div></body></html>'
    ),
    "Zimbra": Case(
        html='<html><body><div><div>here are the plans.</div>§<div><br></div><div data-marker="__SIG_PRE__">Ann</div><hr '
        'id="zwchr" data-marker="__DIVIDER__"><div data-marker="__HEADERS__"><b>From: </b>Bob</div><div>Plans?</div>'
        "</div></body></html>"
    ),
    "Roundcube": Case(
        html=f'<html><head></head><body>{_P}§<div id="_rc_sig">-- <br>Ann</div><p id="reply-intro">On 2026-11-24 10:00, '
        'Bob wrote:</p><blockquote type="cite" style="padding: 0 0.4em; border-left: #1010ff 2px solid;">Plans?'
        "</blockquote></body></html>"
    ),
    "Evolution": Case(
        html='<html><head></head><body><div>here are the plans.</div>§<div class="-x-evo-signature-wrapper"><span '
        'class="-x-evo-signature"><pre>-- <br></pre>Ann</span></div><div>On Tue, 2026-11-24 at 10:00 +0100, Bob wrote:'
        '</div><blockquote type="cite" style="margin:0 0 0 .8ex; border-left:2px #729fcf solid;">Plans?</blockquote>'
        "</body></html>"
    ),
    "Fastmail": Case(
        html='<!DOCTYPE html><html><body><div>here are the plans.</div>§<div><br></div><div>On Tue, Nov 24, 2026, at '
        '10:00, Bob wrote:</div><blockquote type="cite" id="qt">Plans?</blockquote></body></html>'
    ),
    "words that tell": Case(html="<div>here are the plans.</div>§<div>-----Original Message-----</div><div>Plans?</div>"),
    "header that tells": Case(
        html="<p>here are the plans.</p>§<p><b>Von:</b> Bob<br><b>Gesendet:</b> heute<br><b>An:</b> Ann<br>"
        "<b>Betreff:</b> Pl&auml;ne</p><p>Plans?</p>"
    ),
    "delimiter that tells": Case(html="here are the plans.§<br><br>-- <br>Ann Smith", reply=False),
    "quotation by characters": Case(html="here are the plans.§<br><br>&gt; Plans?<br>&gt; Bob"),
    "all in one paragraph": Case(
        html="<p>here are the plans.§<br><br>On 24/11/2026 10:00, Bob wrote:<br></p><blockquote>Plans?</blockquote>"
    ),
    "in cells": Case(
        html='<table><tr><td>here are the plans.§</td></tr><tr><td><blockquote type="cite">Plans?</blockquote></td></tr>'
        "</table>"
    ),
    "in rows of a table": Case(
        html='<table><tr><td>here are the plans.§</td></tr><tr class="gmail_signature"><td>Ann</td></tr></table>',
        reply=False,
    ),
    "in a link": Case(html='<a href="https://example.org/">the plans</a>§<blockquote type="cite">x</blockquote>'),
    "signature in a link": Case(
        html='the plans§<br><a href="https://example.org/"><span class="gmail_signature">Ann</span></a>', reply=False
    ),
    "marks in comments, attributes, styles": Case(
        html='<style>.gmail_quote { color: red }</style><!-- <div class="gmail_quote"> --><p title=\'<div '
        'class="gmail_quote">\'>plans</p><!--[if mso]><div class="moz-cite-prefix">x</div><![endif]--><p>more</p>§'
        '<blockquote type="cite">q</blockquote>'
    ),
    "a conditional comment that shows": Case(
        html='<p>plans</p>§<!--[if !mso]><!--><div>&nbsp;</div><blockquote type="cite">q</blockquote><!--<![endif]-->'
    ),
    "hidden text before the words": Case(
        html='<div style="display:none">preview</div><p>plans</p>§<blockquote type="cite">q</blockquote>'
    ),
    "hidden text before history": Case(
        html='<p>plans</p>§<div style="display:none">On 1 May Bob wrote:</div><blockquote type="cite">q</blockquote>'
    ),
    "nothing but history": Case(
        html='<html><body bgcolor="white">§<div class="gmail_quote"><blockquote class="gmail_quote">q</blockquote></div>'
        "</body></html>"
    ),
    "indented words": Case(
        html='<p>plans:</p><blockquote style="margin:0 0 0 40px;border:none;padding:0px">1. bridge</blockquote>'
        '§<div class="gmail_signature">Ann</div>',
        reply=False,
    ),
    "an image of the sender's": Case(
        html='<p>plans</p><p><img src="cid:1" width="300"></p>§<blockquote type="cite">q</blockquote>'
    ),
    "an image that counts readers": Case(
        html='<p>plans</p>§<img src="https://example.org/t" width="1" height="1"><blockquote type="cite">q</blockquote>'
    ),
    "an earlier notice in the quotation": Case(
        html='<div>plans</div>§<blockquote type="cite"><table role="presentation"><tr><td>1 file to download, available '
        'until 1 December 2026</td></tr><tr><td><a href="https://files.example.org/d/x/">Download</a></td></tr></table>'
        "</blockquote>"
    ),
    "signature, quotation, then a disclaimer": Case(
        html='<p>plans</p>§<div class="gmail_signature">Ann</div><div class="gmail_quote"><blockquote>q</blockquote></div>'
        "<p>This message is confidential.</p>"
    ),
    "unclosed quotation": Case(html='<p>plans</p>§<blockquote type="cite">q'),
    "misnested": Case(html='<font><p>plans</p>§<blockquote type="cite"></font><b>q</blockquote></b>'),
    "no boundary, no reply": Case(html=f"<html><body>{_P}§</body></html>", reply=False),
    "no boundary, a reply": Case(
        html=f"<html><head><title>x</title></head><body class=\"c\">\n§{_P}</body></html>"
    ),
    "no boundary, a reply, no body tag": Case(html=f"<style>p {{ color: red }}</style>§{_P}"),
}  # fmt: skip

# --- Both forms of one message

BOTH = {
    "Gmail": Case(
        "here are the plans.\n§\nOn Tue, Nov 24, 2026 at 10:00 AM Bob <bob@example.com> wrote:\n\n> Plans?\n>\n",
        '<div dir="ltr">here are the plans.</div>§<br><div class="gmail_quote"><div class="gmail_attr">On Tue, Nov 24, '
        "2026 at 10:00 AM Bob wrote:<br></div><blockquote class=\"gmail_quote\">Plans?</blockquote></div>",
    ),
    "Gmail, signed": Case(
        "here are the plans.\n§\n-- \nAnn Smith\n\n\nOn Tue, Nov 24, 2026 at 10:00 Bob <bob@example.com> wrote:\n\n> Hi\n",
        '<div dir="ltr">here are the plans.</div>§<div class="gmail_signature">Ann Smith</div><div class="gmail_quote">'
        "<blockquote>Hi</blockquote></div>",
    ),
    "Outlook": Case(
        f"here are the plans.\n§\n{HEADERS['English']}\n\nPlans?\n",
        '<div class="WordSection1"><p>here are the plans.</p>§<div><div style="border:none;border-top:solid #E1E1E1 '
        '1.0pt;padding:3.0pt 0in 0in 0in"><p><b>From:</b> Bob</p></div></div><p>Plans?</p></div>',
    ),
    "only the text tells": Case(
        "here are the plans.\n§\nOn Tue, Nov 24, 2026 at 10:00 AM Bob <bob@example.com> wrote:\n\n> Plans?\n",
        "<body>§<p>here are the plans.</p><div><i>Bob says</i></div><div>Plans?</div></body>",
        reply=False,
    ),
    "only the HTML tells": Case(
        "§here are the plans.\n\nBob says\nPlans?\n",
        '<body><p>here are the plans.</p>§<blockquote type="cite">Plans?</blockquote></body>',
        reply=False,
    ),
    "neither tells": Case("here are the plans.\n§", "<p>here are the plans.</p>§", reply=False),
    "neither tells, a reply": Case("§here are the plans.\n", "§<p>here are the plans.</p>"),
}  # fmt: skip
