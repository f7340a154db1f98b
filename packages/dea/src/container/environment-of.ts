/** `NAME=value` texts as an object; later ones win. */
export function environmentOf(pairs: readonly string[]): Record<string, string> {
  const environment: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    if (equals > 0) environment[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
  return environment;
}
