import { BusError } from "../errors.ts";
import { isPattern } from "../subject.ts";
import type { BucketOptions } from "./port.ts";

// NATS ADR-8 gives these alphabets; a key becomes part of a subject, so it can have no empty token either.
const keyAlphabet = /^[-/=.\w]+$/;
const patternAlphabet = /^[-/=.*>\w]+$/;
const bucketAlphabet = /^[-\w]+$/;
const maxKeyLength = 1_024;
const maxBucketLength = 200;

const printable = (text: string): string => JSON.stringify(String(text).slice(0, 80));
const wellDotted = (text: string): boolean => !text.startsWith(".") && !text.endsWith(".") && !text.includes("..");

/** Letters, digits and `-/=._`, in tokens split by dots, at most 1 024 characters. @throws BusError `BUS_INVALID_KEY` */
export function assertKey(key: string): void {
  if (typeof key !== "string" || key.length > maxKeyLength || !keyAlphabet.test(key) || !wellDotted(key))
    throw new BusError("BUS_INVALID_KEY", `${printable(key)} is no key: letters, digits and - / = _ in tokens split by single dots are needed`);
}

/** A key in which `*` stands for one token and a last `>` for all that follow. @throws BusError `BUS_INVALID_KEY` */
export function assertKeyPattern(pattern: string): void {
  if (typeof pattern !== "string" || pattern.length > maxKeyLength || !patternAlphabet.test(pattern) || !isPattern(pattern))
    throw new BusError("BUS_INVALID_KEY", `${printable(pattern)} is no pattern of keys: a key with "*" for a token and ">" at the end is needed`);
}

/** Letters, digits, `-` and `_`, at most 200. @throws BusError `BUS_INVALID_KEY` */
export function assertBucketName(name: string): void {
  if (typeof name !== "string" || name.length > maxBucketLength || !bucketAlphabet.test(name))
    throw new BusError("BUS_INVALID_KEY", `${printable(name)} is no name for a bucket: letters, digits, "-" and "_" are needed`);
}

/** @throws BusError `BUS_UNSUPPORTED` for numbers that a server would not take */
export function assertBucketOptions(name: string, { ttlMs, history, replicas }: BucketOptions): void {
  const bad = (what: string): never => {
    throw new BusError("BUS_UNSUPPORTED", `bucket ${name}: ${what}`);
  };
  if (ttlMs !== undefined && !(Number.isInteger(ttlMs) && ttlMs >= 100)) bad("ttlMs must be a whole number of milliseconds, 100 or more");
  if (history !== undefined && !(Number.isInteger(history) && history >= 1 && history <= 64)) bad("history must be 1 to 64");
  if (replicas !== undefined && !(Number.isInteger(replicas) && replicas >= 1 && replicas <= 5)) bad("replicas must be 1 to 5");
}

/** What an existing bucket has must be what is asked for; what is not asked for may be anything. @throws BusError `BUS_UNSUPPORTED` */
export function assertSameOptions(name: string, asked: BucketOptions, has: BucketOptions): void {
  for (const option of ["ttlMs", "history", "replicas"] as const)
    if (asked[option] !== undefined && asked[option] !== has[option])
      throw new BusError("BUS_UNSUPPORTED", `bucket ${name} exists with ${option} ${has[option] ?? "unset"}, not ${asked[option]}: ask for the same or take another name`);
}
