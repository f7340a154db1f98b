import { isObject } from "./json.ts";

/**
 * A function that takes secrets out of text on its way to the log: everything a user sent as a parameter, and whatever
 * else is handed in. Errors of databases and HTTP clients like to quote what they were given.
 */
export function redactor(secrets: readonly unknown[]): (text: string) => string {
  const words = new Set<string>();
  for (const secret of secrets) collect(secret, words);
  // Longest first, so that no part of a longer one is left standing.
  const sorted = [...words].sort((a, b) => b.length - a.length);
  return (text) => sorted.reduce((kept, word) => kept.replaceAll(word, "[redacted]"), text);
}

const minChars = 4;
const maxWords = 200;

function collect(value: unknown, into: Set<string>, depth = 0): void {
  if (into.size >= maxWords || depth > 20) return;
  if (typeof value === "string") {
    // Shorter ones occur everywhere, and hiding them would hide the message.
    if (value.length >= minChars) into.add(value);
  } else if (Array.isArray(value)) for (const one of value) collect(one, into, depth + 1);
  else if (isObject(value)) for (const one of Object.values(value)) collect(one, into, depth + 1);
}
