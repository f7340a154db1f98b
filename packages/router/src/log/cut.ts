/** What fits into a datagram over IPv4 (gorouter): a longer line is cut, since half of it tells more than nothing. */
export const maxLineBytes = 65_400;

/** Stands where something was cut off (gorouter's words; ASCII). */
export const cutMark = "...-TOO-LONG-TO-LOG--TRUNCATED";

/** Text of at most `limit` letters, the mark included. */
export const cutTo = (text: string, limit: number): string => (text.length <= limit ? text : `${text.slice(0, limit - cutMark.length)}${cutMark}`);
