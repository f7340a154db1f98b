import { BusError } from "./errors.ts";

// A subject is tokens split by dots. `*` stands for one token, `>` for one or more trailing ones (NATS protocol, "Subject-Based Messaging").
const malformed = /[\s\0]|^\.|\.$|\.\./;

/** True for a subject that may be published to. Wildcards in it are ordinary tokens, as in NATS. */
export const isSubject = (subject: string): boolean => subject.length > 0 && subject.length <= 4_096 && !malformed.test(subject);

/** True for a subject that may be subscribed to: `>` only as the last token, `*` and `>` only as whole tokens to be wildcards. */
export const isPattern = (pattern: string): boolean =>
  isSubject(pattern) && !pattern.split(".").slice(0, -1).includes(">");

/** @throws BusError `BUS_INVALID_SUBJECT` */
export function assertSubject(subject: string): void {
  if (!isSubject(subject))
    throw new BusError("BUS_INVALID_SUBJECT", `"${printable(subject)}" is no subject: dot-separated tokens without blanks or empty parts are needed`);
}

/** @throws BusError `BUS_INVALID_SUBJECT` */
export function assertPattern(pattern: string): void {
  if (!isPattern(pattern))
    throw new BusError("BUS_INVALID_SUBJECT", `"${printable(pattern)}" is no subject pattern: tokens without blanks, ">" only at the end`);
}

const printable = (text: string): string => JSON.stringify(text.slice(0, 80)).slice(1, -1);

/** Whether a published subject reaches a subscription to `pattern`. Case-sensitive. */
export function matches(pattern: string, subject: string): boolean {
  if (pattern === subject) return true;
  const wanted = pattern.split(".");
  const given = subject.split(".");
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === ">" && i === wanted.length - 1) return given.length > i;
    if (i >= given.length) return false;
    if (wanted[i] !== "*" && wanted[i] !== given[i]) return false;
  }
  return wanted.length === given.length;
}

/** A template is what a subject is, with names in braces in place of whole tokens. @throws BusError `BUS_INVALID_SUBJECT` */
export function assertTemplate(template: string): void {
  if (!isSubject(template) || !template.split(".").every((token) => /^(\{\w+\}|[^{}]+)$/.test(token) && token !== "*" && token !== ">"))
    throw new BusError("BUS_INVALID_SUBJECT", `"${printable(template)}" is no subject of a message: dot-separated tokens, each a name in braces or without any, no wildcards`);
}

/** The names in braces of a subject template: `{ id: string }` for `dea.{id}.start`. */
export type ParamsOf<S extends string> = S extends `${string}{${infer Name}}${infer Rest}`
  ? { [K in Name]: string } & ParamsOf<Rest>
  : unknown;

/** Fills a template for a subscription: `dea.{id}.start` with `{ id: "7" }` is `dea.7.start`; a missing value becomes `*`. */
export const fillPattern = (template: string, params: Readonly<Record<string, string>> = {}): string => fill(template, params, () => "*");

/**
 * Fills a template for publishing: every value is needed.
 * @throws BusError `BUS_INVALID_SUBJECT`
 */
export const fillSubject = (template: string, params: Readonly<Record<string, string>> = {}): string =>
  fill(template, params, (name) => {
    throw new BusError("BUS_INVALID_SUBJECT", `${template} needs a value for {${name}}: give it in params`);
  });

function fill(template: string, params: Readonly<Record<string, string>>, missing: (name: string) => string): string {
  if (!template.includes("{")) return template;
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    // `constructor` is the name of something in every object.
    const value = Object.hasOwn(params, name) ? params[name] : undefined;
    if (value === undefined) return missing(name);
    if (typeof value !== "string" || !isSubject(value) || value.includes(".") || value === "*" || value === ">")
      throw new BusError("BUS_INVALID_SUBJECT", `"${printable(String(value))}" cannot stand for {${name}} in ${template}: one token without dots or wildcards is needed`);
    return value;
  });
}

/** The values that a received subject has for the names of its template. */
export function readParams(template: string, subject: string): Record<string, string> {
  const params: Record<string, string> = {};
  if (!template.includes("{")) return params;
  const given = subject.split(".");
  template.split(".").forEach((token, i) => {
    const name = /^\{(\w+)\}$/.exec(token)?.[1];
    if (name !== undefined) Object.defineProperty(params, name, { value: given[i] ?? "", enumerable: true, configurable: true, writable: true });
  });
  return params;
}
