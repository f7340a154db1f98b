// What package.json of an app says, for plan and release.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Ends with a message and the exit status of the kind of fault. */
export function fail(status, text) {
  process.stderr.write(`**ERROR** ${text}\n`);
  process.exit(status);
}

export function readPackage(build) {
  let text;
  try {
    text = readFileSync(join(build, "package.json"), "utf8").replace(/^\ufeff/, "");
  } catch (error) {
    fail(10, `package.json cannot be read: ${error.message}`);
  }
  try {
    const value = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("it is no object");
    return value;
  } catch (error) {
    fail(10, `package.json is not valid JSON: ${error.message}`);
  }
}

const isMap = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
export const mapOf = (value) => (isMap(value) ? value : {});
export const scriptOf = (json, name) => {
  const script = mapOf(json.scripts)[name];
  return typeof script === "string" && script.trim() !== "" ? script.trim() : undefined;
};

/**
 * The command for web. `npm start` would keep a whole npm beside the app for its life, and stand between it and the signal to stop;
 * where the start script is one plain `node file`, that is run itself.
 */
export function startCommand(build, json) {
  const start = scriptOf(json, "start");
  if (start === undefined) return existsSync(join(build, "server.js")) ? "exec node server.js" : undefined;
  const plain = /^node(?:\s+[\w./:@=,+-]+)+$/.test(start) && !scriptOf(json, "prestart") && !scriptOf(json, "poststart");
  return plain ? `exec ${start}` : "npm start";
}
