import { UaaServerError } from "./errors.ts";

/** A SCIM filter, taken apart. Attribute names are in lower case. */
export type Filter =
  | { kind: "and" | "or"; parts: Filter[] }
  | { kind: "test"; attribute: string; operator: Operator; value: string | number | boolean | null };
export type Operator = "eq" | "co" | "sw" | "pr" | "gt" | "ge" | "lt" | "le";

const operators: readonly string[] = ["eq", "co", "sw", "pr", "gt", "ge", "lt", "le"];
const maxLength = 60_000;
const maxTests = 1_000;
const maxDepth = 20;

const bad = (why: string) => new UaaServerError("invalid_scim_resource", `Invalid filter expression: ${why}`);

/**
 * Reads a filter such as `userName eq "ann" and (origin eq "uaa" or origin eq "ldap")`. Strict: what does not fit the
 * grammar to the last sign is refused, so a quote in a name that a client did not escape cannot widen a search.
 * @throws UaaServerError invalid_scim_resource
 */
export function parseFilter(text: string): Filter {
  if (text.length > maxLength) throw bad("too long");
  const tokens = tokenize(text);
  let at = 0;
  let tests = 0;
  const isWord = (word: string) => tokens[at]?.kind === "word" && tokens[at]?.text.toLowerCase() === word;

  function chain(kind: "and" | "or", depth: number): Filter {
    const parts = [part()];
    while (isWord(kind)) {
      at += 1;
      parts.push(part());
    }
    return parts.length === 1 && parts[0] ? parts[0] : { kind, parts };

    function part(): Filter {
      return kind === "or" ? chain("and", depth) : atom(depth);
    }
  }

  function atom(depth: number): Filter {
    if (depth > maxDepth) throw bad("too deep");
    if (tokens[at]?.kind === "(") {
      at += 1;
      const inner = chain("or", depth + 1);
      if (tokens[at]?.kind !== ")") throw bad("a parenthesis is not closed");
      at += 1;
      return inner;
    }
    return test();
  }

  function test(): Filter {
    tests += 1;
    if (tests > maxTests) throw bad("too many tests");
    const attribute = tokens[at];
    const operator = tokens[at + 1];
    if (attribute?.kind !== "word" || operator?.kind !== "word") throw bad("expected an attribute and an operator");
    const name = operator.text.toLowerCase();
    if (!operators.includes(name)) throw bad(`unknown operator ${operator.text.slice(0, 20)}`);
    at += 2;
    const head = { kind: "test", attribute: attribute.text.toLowerCase(), operator: name as Operator } as const;
    if (name === "pr") return { ...head, value: null };
    const value = tokens[at];
    at += 1;
    if (value?.kind === "string") return { ...head, value: value.text };
    if (value?.kind === "word" && /^(true|false)$/i.test(value.text)) return { ...head, value: value.text.toLowerCase() === "true" };
    if (value?.kind === "word" && /^-?\d{1,15}$/.test(value.text)) return { ...head, value: Number(value.text) };
    throw bad("expected a value in double quotes");
  }

  const filter = chain("or", 0);
  if (at !== tokens.length) throw bad(`unexpected ${tokens[at]?.text.slice(0, 20) ?? "end"}`);
  return filter;
}

interface Token {
  kind: "word" | "string" | "(" | ")";
  text: string;
}

const tokenPattern = /\s*(?:(?<paren>[()])|"(?<string>(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"(?=[\s)]|$)|(?<word>[A-Za-z0-9_.:+-]+)(?=[\s()]|$))/y;

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const end = text.trimEnd().length;
  tokenPattern.lastIndex = 0;
  while (tokenPattern.lastIndex < end) {
    const start = tokenPattern.lastIndex;
    const { paren, string, word } = tokenPattern.exec(text)?.groups ?? {};
    if (paren !== undefined) tokens.push({ kind: paren as "(" | ")", text: paren });
    else if (string !== undefined) tokens.push({ kind: "string", text: JSON.parse(`"${string}"`) as string });
    else if (word !== undefined) tokens.push({ kind: "word", text: word });
    else throw bad(`cannot read ${JSON.stringify(text.slice(start, start + 20))}`);
  }
  if (tokens.length === 0) throw bad("empty");
  return tokens;
}
