/** Lists are kept as words in one text column; scopes, grants and URIs hold no spaces. */
export const words = (text: string): string[] => text.split(" ").filter((word) => word !== "");
export const unique = (list: Iterable<string>): string[] => [...new Set(list)].sort();
