/** Signing out. Owns: where one goes afterwards. Refuses to know: who signs out. */
import { signOut } from "../http/account.ts";

/** Ends the session and leaves: to its provider, so that it hears of it, else to the sign-in page. */
export async function leaveAccount(): Promise<void> {
  const answer = await signOut().catch(() => undefined);
  location.assign(answer?.redirect ?? "/login");
}
