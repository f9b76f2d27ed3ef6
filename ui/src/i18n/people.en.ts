/** Words about people, accounts and signing in, in English. Part of the dictionary in en.ts. */

/** English, the people's part. */
export const peopleEn = {
  stepUp: {
    title: "Confirm that it is you",
    hint: "This cannot be undone, so please sign in once more. You come back to this page.",
    with: (label: string) => `Continue with ${label}`,
    linkHint:
      "You signed in with a one-time link. Open a fresh one in this browser; on the server, this prints it:",
    failed: "Signing in once more did not work",
  },
};
