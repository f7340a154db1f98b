import type { RuntimeOffer, RuntimeWish } from "./shapes.ts";

/** Whether a runtime that is there is the one that was asked for. */
export const runtimeAnswers = (offer: RuntimeOffer, { name, version }: RuntimeWish): boolean =>
  offer.name === name && (version === undefined || offer.version === version || (offer.version?.startsWith(`${version}.`) ?? false));

/** Reads `node` or `node@20`, as a start message has it. */
export function runtimeWish(text: string): RuntimeWish {
  const at = text.indexOf("@", 1);
  return at < 0 ? { name: text } : { name: text.slice(0, at), version: text.slice(at + 1) };
}

/** The same as text. */
export const runtimeText = ({ name, version }: RuntimeWish): string => (version === undefined ? name : `${name}@${version}`);
