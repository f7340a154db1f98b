// What a JSON report of vitest says, as the counts and the failures that `npm test` ends with.
import { relative } from "node:path";

/** @typedef {{ name: string, message: string }} Failure */

const messageLines = 6;

/** @param {string} text */
const firstLines = (text) => text.trim().split("\n").slice(0, messageLines).join("\n").slice(0, 1_000);

/**
 * @param {any} result the parsed report, or undefined when there is none
 * @param {string} root the folder that file names are told from
 */
export function readReport(result, root) {
  /** @type {Failure[]} */
  const failures = [];
  const brokenFiles = [];
  let passedInBroken = 0;
  for (const file of result?.testResults ?? []) {
    if (file.status !== "failed") continue;
    const name = relative(root, file.name);
    brokenFiles.push(name);
    const failed = file.assertionResults.filter((one) => one.status === "failed");
    passedInBroken += file.assertionResults.filter((one) => one.status === "passed").length;
    // A file that failed with no failed test did not load, or its set-up broke.
    if (failed.length === 0) failures.push({ name, message: firstLines(file.message ?? "") });
    for (const one of failed) failures.push({ name: `${name} > ${one.fullName}`, message: firstLines(one.failureMessages?.[0] ?? "") });
  }
  return { passed: result?.numPassedTests ?? 0, skipped: result?.numPendingTests ?? 0, failures, brokenFiles, passedInBroken };
}
