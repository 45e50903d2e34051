// Arrays from the page's JSON; `superpos/explorer/encode.py` wrote them.

/** { shape, values, row(i) } of a coded array; null stays null. */
export function decode(coded) {
  if (!coded) return null;
  const bytes = Uint8Array.from(atob(coded.data), (c) => c.charCodeAt(0));
  const kind = { q16: Uint16Array, u8: Uint8Array, u16: Uint16Array, i32: Int32Array }[coded.type];
  let values = new kind(bytes.buffer);
  if (coded.type === "q16") {
    const [codes, step] = [values, (coded.hi - coded.lo) / 65534];
    values = new Float32Array(codes.length);
    for (let i = 0; i < codes.length; i++) {
      const value = codes[i] === 65535 ? Number.NaN : coded.lo + step * codes[i];
      values[i] = coded.log ? Math.exp(value) : value;
    }
  }
  const size = coded.shape.slice(1).reduce((a, b) => a * b, 1);
  return { shape: coded.shape, values, row: (i) => values.subarray(i * size, (i + 1) * size) };
}

/** Words coded as numbers into a list. */
export function decodeWords(coded) {
  const index = decode(coded.index);
  return { words: coded.words, index, at: (i) => coded.words[index.values[i]] };
}
