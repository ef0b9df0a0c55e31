// The list of codes.
"use strict";

const codes = new Map(); // by id: the record, its row, and the step that is shown

// keep adds a code and remembers it.
async function keep(one) {
  await store.put("codes", one);
  list(one);
}

function list(one) {
  const row = put(part("one-code"), { name: [one.issuer, one.label].filter(Boolean).join(" · ") || say("codes.unnamed") });
  codes.set(one.id, { one, row, step: -1 });
  on(row, "remove", "click", async () => {
    await store.remove("codes", one.id);
    codes.delete(one.id);
    row.remove();
    $("no-codes").hidden = codes.size > 0;
    note("said", say("codes.removed"), "good");
  });
  on(row, "copy", "click", async () => {
    await navigator.clipboard.writeText(row.querySelector(".digits").textContent.replace(/\s/g, ""));
    note("said", say("codes.copied"), "good");
  });
  $("codes").append(row);
  $("no-codes").hidden = true;
  tick();
}

// tick shows the codes of this moment.
async function tick() {
  const now = Date.now();
  for (const c of codes.values()) {
    c.row.querySelector(".left").textContent = say("codes.left", totp.left(c.one, now));
    const step = Math.floor(now / 1000 / c.one.period);
    if (step === c.step) continue;
    c.step = step;
    try {
      const code = await totp.code(c.one, now);
      c.row.querySelector(".digits").textContent = code.slice(0, Math.ceil(code.length / 2)) + " " + code.slice(Math.ceil(code.length / 2));
    } catch {
      c.row.querySelector(".digits").textContent = "-";
      note("said", say("keys.unusable"), "bad");
    }
  }
}

async function addCode() {
  const field = $("secret"), label = $("label");
  await keep(await totp.parse(field.value, label.value.trim()));
  field.value = label.value = "";
  $("add-code").open = false;
  note("said", say("codes.added"), "good");
}
