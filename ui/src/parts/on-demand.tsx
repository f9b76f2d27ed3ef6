/** Components whose code comes when they are first shown. Owns: fetching it, what stands there meanwhile. Refuses to know: which. */
import { type ComponentType, type ReactNode, useEffect, useState } from "react";

/**
 * As React's `lazy`, with what `waiting` shows meanwhile; a failure is thrown where it is shown, and the next showing tries again.
 * Not `lazy`: whatever a Suspense boundary held back is shown 300 ms after its fallback at the earliest, and that twice
 * where a page then loads something (React 19: `FALLBACK_THROTTLE_MS`); here it is shown when it is there.
 */
export function onDemand<Props extends object>(
  load: () => Promise<{ default: ComponentType<Props> }>,
): ComponentType<Props & { waiting?: ReactNode }> {
  let known: ComponentType<Props> | undefined;
  return function OnDemand({ waiting = null, ...props }) {
    const [Shown, setShown] = useState(() => known);
    const [, setNothing] = useState<undefined>();
    useEffect(() => {
      if (known !== undefined) {
        setShown(() => known);
        return;
      }
      let isHere = true;
      load().then(
        (module) => {
          known = module.default;
          if (isHere) setShown(() => known);
        },
        (cause: unknown) => {
          if (isHere)
            setNothing(() => {
              throw cause;
            });
        },
      );
      return () => {
        isHere = false;
      };
    }, []);
    return Shown === undefined ? waiting : <Shown {...(props as unknown as Props)} />;
  };
}
