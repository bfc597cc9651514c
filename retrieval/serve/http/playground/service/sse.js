/** Server-sent events of a POST request, which EventSource cannot make. */

/** Events `{event, data}` of a response, as they come; `data` is parsed JSON. Lines end in LF, CR LF or CR alone. */
export async function* readEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      buffer += value ?? "";
      // A carriage return at the end may be half of a line end whose rest comes with the next chunk.
      const held = !done && buffer.endsWith("\r") ? 1 : 0;
      const blocks = buffer.slice(0, buffer.length - held).replace(/\r\n?/g, "\n").split("\n\n");
      buffer = blocks.pop() + buffer.slice(buffer.length - held);
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {}); // leaving early tells the service to stop generating
  }
}

function parse(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
  }
  return data.length ? { event: name, data: JSON.parse(data.join("\n")) } : null;
}
