// Version ranges as package.json writes them, for whole versions of Node: enough to answer "may this one run the app?".

const parse = (text) => {
  const found = /^[v=\s]*(\d+)\.(\d+)\.(\d+)/.exec(text);
  return found ? found.slice(1, 4).map(Number) : undefined;
};
const compare = (a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];

/** A version with parts left open: lowest that fits, and the first that no longer does. */
function partial(text) {
  const found = /^[v=]*(\d+|[xX*])?(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:[-+][\w.+-]*)?$/.exec(text);
  if (!found) return undefined;
  const parts = found.slice(1, 4).map((part) => (part === undefined || /[xX*]/.test(part) ? undefined : Number(part)));
  const [major, minor, patch] = parts;
  if (major === undefined) return { low: [0, 0, 0], high: undefined, parts };
  if (minor === undefined) return { low: [major, 0, 0], high: [major + 1, 0, 0], parts };
  if (patch === undefined) return { low: [major, minor, 0], high: [major, minor + 1, 0], parts };
  return { low: [major, minor, patch], high: [major, minor, patch + 1], parts };
}

const at = (low, high) => (version) => compare(version, low) >= 0 && (high === undefined || compare(version, high) < 0);

function comparator(text) {
  const [, sign, rest] = /^(>=|<=|>|<|\^|~>?|=)?\s*(.*)$/.exec(text);
  const range = partial(rest);
  if (!range) return undefined;
  const { low, high, parts: [major, minor] } = range;
  switch (sign) {
    case ">=":
      return at(low);
    case ">":
      return high === undefined ? () => false : at(high);
    case "<":
      return (version) => compare(version, low) < 0;
    case "<=":
      return high === undefined ? () => true : (version) => compare(version, high) < 0;
    case "^":
      if (major === undefined) return () => true;
      if (major > 0 || minor === undefined) return at(low, [major + 1, 0, 0]);
      return minor > 0 || range.parts[2] === undefined ? at(low, [0, minor + 1, 0]) : at(low, high);
    case "~":
    case "~>":
      if (major === undefined) return () => true;
      return minor === undefined ? at(low, [major + 1, 0, 0]) : at(low, [major, minor + 1, 0]);
    default:
      return at(low, high);
  }
}

/** @returns {boolean | undefined} undefined: the range cannot be read */
export function satisfies(version, range) {
  const wanted = parse(version);
  if (!wanted) return undefined;
  let any = false;
  for (const alternative of range.split("||")) {
    const text = alternative.trim().replace(/(>=|<=|>|<|\^|~>?|=)\s+/g, "$1");
    if (/^(latest|node|stable|current|lts(\/[\w*-]+)?)?$/i.test(text)) {
      any = true;
      continue;
    }
    const hyphen = /^(\S+)\s+-\s+(\S+)$/.exec(text);
    const tests = hyphen ? [comparator(`>=${hyphen[1]}`), comparator(`<=${hyphen[2]}`)] : text.split(/[\s,]+/).map(comparator);
    if (tests.includes(undefined)) return undefined;
    any ||= tests.every((test) => test(wanted));
  }
  return any;
}
