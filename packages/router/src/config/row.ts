import type { Draft } from "./draft.ts";
import type { Read } from "./value.ts";

/** One key of a gorouter's configuration, and what becomes of it here. */
export interface Row {
  /** With dots, as in `status.port`. Where it ends in `.*` everything below belongs to it. */
  readonly key: string;
  readonly honoured: boolean;
  /** Where it is not honoured: what happens instead. Where it is: what is different, if anything. */
  readonly why: string;
  readonly read: Read<unknown>;
  /** Whether this value asks for what happens anyway, so that nobody has to be told. */
  readonly same: (value: unknown) => boolean;
  readonly apply: (draft: Draft, value: never) => void;
  /** For a key that is honoured: what of this very value is not. */
  readonly but?: ((value: never) => string | undefined) | undefined;
}

export const honoured = <T>(key: string, read: Read<T>, apply: (draft: Draft, value: T) => void, said: string | { why: string; but: (value: T) => string | undefined } = ""): Row =>
  ({ key, honoured: true, read, same: () => true, apply, ...(typeof said === "string" ? { why: said } : said) });

/** Not honoured, but for the values that ask for what is done anyway. */
export const refused = (key: string, read: Read<unknown>, why: string, ...same: readonly unknown[]): Row =>
  ({ key, honoured: false, why, read, same: (value) => same.includes(value), apply: () => undefined });
