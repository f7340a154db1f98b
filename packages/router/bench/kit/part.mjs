// The other side of kit/parts.mjs: what a file of the bench calls when it runs as a process of its own.

/** What it was started with. */
export const given = () => JSON.parse(process.argv[2]);

/** Answers each message with what `answer` makes of it, and ends when the bench has ended. */
export function serve(hello, answer = () => ({})) {
  process.on("message", (message) => {
    Promise.resolve().then(() => answer(message)).then((made) => process.send(made ?? {}), (cause) => process.send({ error: cause.stack }));
  });
  process.once("disconnect", () => process.exit());
  process.send(hello);
}
