import type { OutgoingHttpHeaders } from "node:http";

/** Headers as `writeHead` takes them: by name, or flat. */
export type GivenHeaders = OutgoingHttpHeaders | readonly string[];

/** Name, value, name, value. */
export function flatten(given: GivenHeaders = []): readonly string[] {
  if (Array.isArray(given)) return given as readonly string[];
  return Object.entries(given).flatMap(([name, value]) => [value ?? []].flat().flatMap((one) => [name, String(one)]));
}

/** What `setHeader` has said before the head is written. */
export class HeaderBag {
  #held: Map<string, readonly [string, string | string[]]> | undefined = undefined;

  set(name: string, value: string | number | readonly string[]): void {
    (this.#held ??= new Map()).set(name.toLowerCase(), [name, typeof value === "object" ? [...value] : String(value)]);
  }

  append(name: string, value: string | readonly string[]): void {
    const held = this.get(name);
    this.set(name, held === undefined ? value : [held, value as string | string[]].flat());
  }

  get isEmpty(): boolean { return this.#held === undefined || this.#held.size === 0; }
  get(name: string): string | string[] | undefined { return this.#held?.get(name.toLowerCase())?.[1]; }
  delete(name: string): void { this.#held?.delete(name.toLowerCase()); }
  all(): Record<string, string | string[]> { return Object.fromEntries([...this.#held ?? []].map(([lower, [, value]]) => [lower, value])); }

  /** These before what `flat` says; what `flat` says itself counts. */
  merged(flat: readonly string[]): readonly string[] {
    if (this.#held === undefined || this.#held.size === 0) return flat;
    const named = new Set(flat.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()));
    return [...flat, ...[...this.#held].flatMap(([lower, [name, value]]) => (named.has(lower) ? [] : [value].flat().flatMap((one) => [name, one])))];
  }
}
