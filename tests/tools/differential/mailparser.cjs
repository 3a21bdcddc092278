// What nodemailer's mailparser sees: messages on stdin, each behind a line with its length; one line of JSON for each.
// NODE_PATH says where mailparser is.
"use strict";
const crypto = require("crypto");
const { simpleParser } = require("mailparser");

function sha256(data) {
  return crypto.createHash("sha256").update(data).digest("hex");
}

async function seen(data) {
  const mail = await simpleParser(data, { skipHtmlToText: true, skipTextToHtml: true, skipImageLinks: true });
  const files = mail.attachments.map((file) => ({
    section: file.partId || "",
    type: (file.contentType || "").toLowerCase(),
    disposition: (file.contentDisposition || "").toLowerCase(),
    name: file.filename || "",
    size: file.content.length,
    sha256: sha256(file.content),
    text_sha256: sha256(Buffer.from(file.content.toString("latin1").replace(/\r/g, "").replace(/\n+$/, ""), "latin1")),
  }));
  return { files };
}

async function main() {
  let pending = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      const newline = pending.indexOf(10);
      if (newline < 0) break;
      const end = newline + 1 + Number(pending.subarray(0, newline).toString());
      if (pending.length < end) break;
      const data = pending.subarray(newline + 1, end);
      pending = pending.subarray(end);
      let answer;
      try {
        answer = await seen(data);
      } catch (error) {
        answer = { error: String(error).slice(0, 200) };
      }
      process.stdout.write(JSON.stringify(answer) + "\n");
    }
  }
}

main();
