/**
 * Proving once more who one is, where the server asks for it. Owns: the dialog and the way back to the page.
 * Refuses to know: what it was asked for.
 */
import { createContext, type ReactNode, useContext, useMemo, useState } from "react";
import { beginSignIn, findOwnAccount, type SignInProvider } from "../http/identity.ts";
import { HttpFailure } from "../http/request.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";
import { CommandLine } from "../sign-in/front-door.tsx";

/** Runs an act; when the server wants a fresh proof, asks for it, and the act counts as not done (it throws). */
export type Guard = <T>(act: () => Promise<T>) => Promise<T>;

interface StepUp {
  guard: Guard;
  ask: () => void;
}

/** Whether the server wants a fresh proof first. */
export function isStepUp(error: unknown): boolean {
  return error instanceof HttpFailure && error.code === "step_up_required";
}

/** How long the server takes a proof for fresh, less what filling in a form takes. */
const FRESH_MS = 3 * 60_000;

const StepUpContext = createContext<StepUp>({ guard: (act) => act(), ask: () => undefined });

/** The guard of this page. */
export function useStepUp(): Guard {
  return useContext(StepUpContext).guard;
}

/**
 * For forms: whether a proof of that time is still fresh; asks for a new one when not. The way to a provider and back
 * loses what was typed, so it comes before the form.
 */
export function useFreshProof(): (provedAtMs: number) => boolean {
  const { ask } = useContext(StepUpContext);
  return (provedAtMs) => {
    if (Date.now() - provedAtMs < FRESH_MS) return true;
    ask();
    return false;
  };
}

interface Ways {
  providers: SignInProvider[];
}

async function findWays(): Promise<Ways> {
  const { identities } = await findOwnAccount();
  const byId = new Map(identities.map(({ provider, label, icon }) => [provider, { label, icon }]));
  return { providers: [...byId].map(([id, looks]) => ({ id, ...looks })) };
}

function StepUpDialog(props: { open: boolean; ways: Ways | undefined; onClose: () => void }) {
  const words = useWords();
  const [failure, setFailure] = useState<Error>();
  const go = (provider: string) => {
    const returnTo = `${location.pathname}${location.search}`;
    beginSignIn({ provider, intent: "step_up", returnTo }).then(
      ({ redirect }) => location.assign(redirect),
      (error: unknown) => setFailure(error instanceof Error ? error : new Error(String(error))),
    );
  };
  return (
    <Dialog
      open={props.open}
      onClose={props.onClose}
      title={words.stepUp.title}
      description={words.stepUp.hint}
    >
      <div className="grid gap-3">
        {failure ? <Problem compact title={words.stepUp.failed} error={failure} /> : null}
        {props.ways === undefined ? <Skeleton lines={2} label={words.link.connecting} /> : null}
        {props.ways?.providers.map((provider, place) => (
          <Button
            key={provider.id}
            tone={place === 0 ? "primary" : "outline"}
            className="h-11 w-full"
            onClick={() => go(provider.id)}
          >
            {words.stepUp.with(provider.label)}
          </Button>
        ))}
        {props.ways?.providers.length === 0 ? (
          <>
            <p className="text-m text-ink-2">{words.stepUp.linkHint}</p>
            <CommandLine text="npx creel login-link" />
          </>
        ) : null}
      </div>
    </Dialog>
  );
}

/** Gives the guard to everything inside. */
export function StepUpProvider(props: { children: ReactNode }) {
  const [open, setOpen] = useState(false);
  const [ways, setWays] = useState<Ways>();
  const value = useMemo<StepUp>(() => {
    const ask = () => {
      setOpen(true);
      findWays().then(setWays, () => setWays({ providers: [] }));
    };
    const guard: Guard = async (act) => {
      try {
        return await act();
      } catch (error) {
        if (isStepUp(error)) ask();
        throw error;
      }
    };
    return { guard, ask };
  }, []);
  return (
    <StepUpContext value={value}>
      {props.children}
      <StepUpDialog open={open} ways={ways} onClose={() => setOpen(false)} />
    </StepUpContext>
  );
}
