/** Value of the first cookie of this name in a `Cookie` header, without its quotes; undefined when there is none. */
export function cookieOf(cookies: string | undefined, name: string): string | undefined {
  if (cookies === undefined || !cookies.includes(name)) return undefined;
  for (const part of cookies.split(";")) {
    const equals = part.indexOf("=");
    if (equals >= 0 && part.slice(0, equals).trim() === name) return unquoted(part.slice(equals + 1).trim());
  }
  return undefined;
}

const unquoted = (value: string): string => (value.length > 1 && value.startsWith("\"") && value.endsWith("\"") ? value.slice(1, -1) : value);
