/** What is shown in place of a secret. */
export const hidden = "***";

// Names of fields whose values open something, of any case, at any depth.
const secretName = /^(.*_)?(pass|passw(or)?d|passphrase|secret|secrets|token|jwt|credential|credentials|private_?key|client_?secret|api_?key|access_?key|secret_?key|authorization|cookie|seed|nkey|signature)$/i;
/** Lists of `NAME=value`, or objects of them: the names may be seen. */
const environmentName = /^(env|environment|environment_json|environment_variables)$/i;
/** Broadcast with names that say little, and still not for everybody's eyes. */
const bearer = /\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi;
const url = /\b([a-z][a-z0-9+.-]*:\/\/)([^\s"'<>\\]*)/gi;
const assignment = /\b([\w-]*(?:pass(?:word|wd)?|secret|token|api_?key|access_?key|credentials?)[\w-]*)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'&;,]+)/gi;
const quoted = /("[\w-]*(?:pass(?:word|wd)?|secret|token|api_?key|access_?key|private_?key|credentials?)"\s*:\s*)("(?:[^"\\]|\\.)*"?|\[[^\]]*\]?|\{[^}]*\}?)/gi;

/** A copy fit to be shown to whoever looks over a shoulder: values of secret fields, of environments, and the signed parts of URLs are gone. */
export function withoutSecrets(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return textWithoutSecrets(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth > 30) return hidden;
  if (Array.isArray(value)) return value.map((each) => withoutSecrets(each, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, field(key, each, depth)]));
}

function field(key: string, value: unknown, depth: number): unknown {
  if (environmentName.test(key)) return environment(value);
  if (!secretName.test(key) || value === null || value === undefined || value === "") return withoutSecrets(value, depth + 1);
  return Array.isArray(value) && value.length === 0 ? value : hidden;
}

function environment(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((each) => (typeof each === "string" ? each.replace(/^([^=]{0,200})=[^]*$/, `$1=${hidden}`).replace(/^[^=]*$/, hidden) : hidden));
  if (typeof value === "object" && value !== null) return Object.fromEntries(Object.keys(value).map((name) => [name, hidden]));
  return typeof value === "string" ? hidden : value;
}

/** The same for text that is no JSON, or not yet: URLs, `Authorization` values, `password=...`, `"password":"..."`. */
export function textWithoutSecrets(text: string): string {
  return text.replace(url, hideUrl).replace(bearer, `$1 ${hidden}`).replace(quoted, `$1"${hidden}"`).replace(assignment, `$1$2${hidden}`);
}

// The user part and the query may be keys; a path is an address.
function hideUrl(_: string, scheme: string, rest: string): string {
  const [beforeFragment = ""] = rest.split("#");
  const at = beforeFragment.indexOf("?");
  const place = at < 0 ? beforeFragment : beforeFragment.slice(0, at);
  const slash = place.indexOf("/");
  const authority = slash < 0 ? place : place.slice(0, slash);
  const user = authority.lastIndexOf("@");
  return `${scheme}${user < 0 ? "" : `${hidden}@`}${authority.slice(user + 1)}${slash < 0 ? "" : place.slice(slash)}${at < 0 ? "" : `?${hidden}`}`;
}
