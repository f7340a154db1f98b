import { readFileSync } from "node:fs";
import { RouterError } from "../errors.ts";
import { reasonOf, type ErrorPage, type Fault } from "./fault.ts";

const escapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&#34;", "'": "&#39;" };
const escaped = (text: string): string => text.replace(/[&<>"']/g, (letter) => escapes[letter] as string);

/** Headers of the answer that a template can ask for. */
const headersOf: Record<string, (fault: Fault) => string> = {
  "x-cf-routererror": ({ code }) => code,
  "cache-control": ({ cacheControl }) => cacheControl ?? "",
  "content-type": () => contentType,
  "x-content-type-options": () => "nosniff",
};
const contentType = "text/html; charset=utf-8";

const actions: readonly [RegExp, (found: RegExpExecArray) => (fault: Fault) => string][] = [
  [/^\.Status$/, () => ({ status }) => String(status)],
  [/^\.StatusText$/, () => ({ status }) => reasonOf(status)],
  [/^\.Message$/, () => ({ message }) => message],
  [/^\.Header\.Get\s+"([^"]*)"$/, ([, name = ""]) => headersOf[name.toLowerCase()] ?? (() => "")],
];

/**
 * Error pages from a template as a gorouter takes it (`html_error_template_file`), of which these are understood: `{{ .Status }}`,
 * `{{ .StatusText }}`, `{{ .Message }}`, `{{ .Header.Get "X-Cf-RouterError" }}`. What is put in is escaped: a message can carry the
 * host that a client made up.
 * @throws {RouterError} ROUTER_BAD_OPTION: the template wants something else
 */
export function htmlErrorPage(template: string): ErrorPage {
  const parts = template.split(/\{\{-?\s*(.*?)\s*-?\}\}/s).map((part, at) => (at % 2 === 0 ? part : actionOf(part)));
  return (fault) => ({ contentType, body: parts.map((part) => (typeof part === "string" ? part : escaped(part(fault)))).join("") });
}

/**
 * The same from a file, which is read at once.
 * @throws {RouterError} ROUTER_BAD_OPTION: also when the file cannot be read
 */
export function htmlErrorPageFrom(path: string): ErrorPage {
  let template: string;
  try {
    template = readFileSync(path, "utf8");
  } catch (cause) {
    throw new RouterError("ROUTER_BAD_OPTION", `${path}: the template cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
  try {
    return htmlErrorPage(template);
  } catch (cause) {
    throw new RouterError("ROUTER_BAD_OPTION", `${path}: ${(cause as Error).message}`, { cause });
  }
}

function actionOf(text: string): (fault: Fault) => string {
  for (const [pattern, make] of actions) {
    const found = pattern.exec(text);
    if (found !== null) return make(found);
  }
  throw new RouterError("ROUTER_BAD_OPTION", `{{ ${text} }} is none of .Status, .StatusText, .Message, .Header.Get "NAME"`);
}
