/** Inboxes that are remembered; one that comes back later has a new name. */
const remembered = 4_096;

/** Names for inboxes that are the same in every run; the real ones are drawn by chance. */
export function createStandIns(prefixes: ReadonlySet<string>): (subject: string) => string {
  const names = new Map<string, string>();
  let count = 0;
  const nameOf = (token: string): string => {
    if (token === "*" || token === ">") return token;
    let name = names.get(token);
    if (name !== undefined) return name;
    if (names.size >= remembered) names.delete(names.keys().next().value as string);
    name = `~${++count}`;
    names.set(token, name);
    return name;
  };
  return (subject) => {
    for (const prefix of prefixes) if (subject.startsWith(prefix)) return prefix + subject.slice(prefix.length).split(".").map(nameOf).join(".");
    return subject;
  };
}
