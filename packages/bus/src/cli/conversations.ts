/** Which request an answer belongs to: remembers the reply subjects of the requests that went by, the latest `most` of them. */
export interface Conversations {
  asked(reply: string, subject: string): void;
  /** Subject of the request that is answered on this subject. */
  requestOf(subject: string): string | undefined;
}

export function createConversations(most = 20_000): Conversations {
  const requests = new Map<string, string>();
  return {
    asked(reply, subject) {
      requests.delete(reply);
      requests.set(reply, subject);
      if (requests.size > most) requests.delete(requests.keys().next().value as string);
    },
    requestOf: (subject) => requests.get(subject),
  };
}
