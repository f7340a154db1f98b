import type { Msg } from "nats";
import { expect, test } from "vitest";
import { apartMs, createTwice } from "../src/nats/twice.ts";

const packet = (text: string): Msg => ({ subject: "a", data: Buffer.from(text) }) as unknown as Msg;
const texts = (messages: Msg[]): string[] => messages.map(({ data }) => Buffer.from(data).toString());

test("what both connections bring counts once, whichever is first; the rest stays in order", () => {
  const twice = createTwice();
  twice.old(packet("1"));
  expect(twice.known(packet("1"))).toBe(true);
  twice.keep(packet("2"));
  twice.keep(packet("3"));
  twice.keep(packet("3"));
  twice.keep(packet("4"));
  twice.old(packet("2"));
  twice.old(packet("3"));
  expect(texts(twice.rest())).toEqual(["3", "4"]);
  expect(twice.rest()).toEqual([]);
});

test("a packet that only the old connection delivered stands for no later one that looks like it", () => {
  let now = 0;
  const twice = createTwice(() => now);
  twice.old(packet("beat"));
  now += apartMs + 1;
  expect(twice.known(packet("beat"))).toBe(false);
  twice.old(packet("beat"));
  expect(twice.known(packet("beat"))).toBe(true);
  expect(twice.known(packet("beat"))).toBe(false);
});
