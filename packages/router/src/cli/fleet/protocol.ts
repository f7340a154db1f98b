/** What the process that started the workers may ask one of them. */
export const subjects = ["health", "numbers", "apps", "rows", "routes"] as const;
export type Subject = (typeof subjects)[number];

/** Asks for the first piece of an answer, for the next one, or for no more. */
export type Question =
  | { readonly fleet: "ask"; readonly seq: number; readonly about: Subject; readonly query: string }
  | { readonly fleet: "more" | "stop"; readonly seq: number };

/** A piece of an answer. The last message of one has no piece. */
export type Answer = { readonly fleet: "told"; readonly seq: number; readonly piece?: unknown; readonly failed?: string };

/** One side of a connection between the two. */
export interface Channel {
  send(message: object): void;
  onMessage(hear: (message: unknown) => void): void;
}

export const isQuestion = (message: unknown): message is Question => {
  const { fleet, seq } = (message ?? {}) as { fleet?: unknown; seq?: unknown };
  return (fleet === "ask" || fleet === "more" || fleet === "stop") && typeof seq === "number";
};

export const isAnswer = (message: unknown): message is Answer => {
  const { fleet, seq } = (message ?? {}) as { fleet?: unknown; seq?: unknown };
  return fleet === "told" && typeof seq === "number";
};
