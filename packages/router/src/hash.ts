/** FNV-1a over UTF-16 units. @param seed where it begins: FNV's own, or one that nobody outside knows */
export function fnv(text: string, seed = 0x811c9dc5): number {
  let value = seed;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return value;
}

/** Every bit of what comes out depends on every bit of what goes in (MurmurHash3's last step); FNV alone leaves the high bits of short texts alike. */
export function mixed(given: number): number {
  let value = Math.imul(given ^ (given >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}
