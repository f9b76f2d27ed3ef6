/** The places to sign in at. Owns: asking for them and leaving for one. Refuses to know: what comes after. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { beginSignIn, listSignInProviders, type SignInProvider } from "../http/identity.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";
import { ProviderIcon } from "./provider-icon.tsx";

/** The binding of a tenant's own provider, from `?provider=`. */
function bindingInAddress(): string | null {
  return new URLSearchParams(location.search).get("provider");
}

/** Where to come back to: a path of this origin, as given by `?return=`, else `fallback`. */
export function returnPath(fallback: string): string {
  const asked = new URLSearchParams(location.search).get("return");
  // SECURITY: only a path on this origin; `//host` would leave it.
  return asked !== null && /^\/(?![/\\])/.test(asked) ? asked : fallback;
}

/** The providers of this address. */
export function useSignInProviders() {
  const binding = bindingInAddress();
  return useQuery({
    queryKey: ["sign-in-providers", binding],
    queryFn: () => listSignInProviders(binding),
    staleTime: 60_000,
    retry: 1,
  });
}

/** A button for each provider. */
export function ProviderButtons(props: { providers: SignInProvider[]; returnTo: string }) {
  const words = useWords();
  const [leaving, setLeaving] = useState<string>();
  const [failure, setFailure] = useState<Error>();
  const go = async (provider: string) => {
    setLeaving(provider);
    setFailure(undefined);
    try {
      const { redirect } = await beginSignIn({ provider, intent: "sign_in", returnTo: props.returnTo });
      location.assign(redirect);
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
      setLeaving(undefined);
    }
  };
  return (
    <div className="grid gap-3">
      {failure ? <Problem compact title={words.signIn.failedTitle} error={failure} /> : null}
      <ul className="grid gap-2">
        {props.providers.map((provider, place) => (
          <li key={provider.id}>
            <Button
              tone={place === 0 ? "primary" : "outline"}
              className="h-12 w-full justify-center gap-3 text-l"
              disabled={leaving !== undefined}
              onClick={() => void go(provider.id)}
            >
              <ProviderIcon icon={provider.icon} />
              {leaving === provider.id ? words.signIn.working : words.door.continueWith(provider.label)}
            </Button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** The buttons, once they are known; nothing when there are none. */
export function ProviderChoice(props: { returnTo: string }) {
  const words = useWords();
  const answer = useSignInProviders();
  if (answer.isPending) return <Skeleton lines={2} label={words.link.connecting} />;
  if (answer.isError) return <Problem compact error={answer.error} onRetry={() => void answer.refetch()} />;
  return <ProviderButtons providers={answer.data.providers} returnTo={props.returnTo} />;
}
