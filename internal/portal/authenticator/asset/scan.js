// Scanning with the camera, where the browser can read a QR code by itself.
"use strict";

// canScan reports whether it can.
async function canScan() {
  if (!("BarcodeDetector" in window) || !navigator.mediaDevices?.getUserMedia) return false;
  try { return (await BarcodeDetector.getSupportedFormats()).includes("qr_code"); } catch { return false; }
}

// scan opens the camera until it sees a code, and returns what that says; "" if somebody closed it.
async function scan() {
  const box = $("camera"), video = box.querySelector("video");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    throw new Error("scan.refused");
  }
  try {
    video.srcObject = stream;
    box.showModal();
    await video.play();
    const eye = new BarcodeDetector({ formats: ["qr_code"] });
    while (box.open) {
      const seen = await eye.detect(video).catch(() => []);
      if (seen.length) return seen[0].rawValue;
      await pause(200);
    }
    return "";
  } finally {
    for (const t of stream.getTracks()) t.stop();
    video.srcObject = null;
    box.close();
  }
}

// scanned puts what was scanned where it belongs.
async function scanned() {
  const said = await scan();
  if (!said) return;
  if (/^otpauth:/i.test(said)) {
    await keep(await totp.parse(said));
    return note("said", say("codes.added"), "good");
  }
  $("add").open = true;
  $("code").value = said;
  $("name").focus();
}
