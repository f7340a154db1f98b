import type { Step } from "./pipeline.ts";

export interface RewriteOptions {
  /** Names of headers no answer may carry. */
  remove?: readonly string[];
  /** Headers every answer carries unless the app has set them; after the removals. Several values make several headers. */
  addIfMissing?: Readonly<Record<string, string | readonly string[]>>;
}

/** Changes a flat list of headers: first what is removed, then what is added. Names are compared without case. */
export function headerRewriter({ remove = [], addIfMissing = {} }: RewriteOptions): (headers: string[]) => string[] {
  const removed = new Set(remove.map((name) => name.toLowerCase()));
  const added = Object.entries(addIfMissing).map(([name, value]) => ({ name, lower: name.toLowerCase(), values: typeof value === "string" ? [value] : value }));
  return (headers) => {
    const out: string[] = [];
    const present = new Set<string>();
    for (let at = 0; at < headers.length; at += 2) {
      const lower = (headers[at] as string).toLowerCase();
      if (removed.has(lower)) continue;
      present.add(lower);
      out.push(headers[at] as string, headers[at + 1] as string);
    }
    for (const { name, lower, values } of added) if (!present.has(lower)) for (const value of values) out.push(name, value);
    return out;
  };
}

/** A step that changes the headers of every answer, the router's own included. */
export function rewriteAnswers(options: RewriteOptions): Step {
  const rewrite = headerRewriter(options);
  return (exchange, next) => {
    const before = exchange.rewriteAnswer;
    exchange.rewriteAnswer = before === undefined ? rewrite : (headers) => rewrite(before(headers));
    return next();
  };
}
