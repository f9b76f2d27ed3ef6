/** Starts the Control UI. Owns: the providers around it. Refuses to know: everything inside. */
import "./page.css";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { Tooltip } from "radix-ui";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { StepUpProvider } from "./account/step-up.tsx";
import { App } from "./app.tsx";
import { loadSpoken, WordsProvider } from "./i18n/words-context.tsx";
import { ToastProvider } from "./parts/toasts.tsx";
import { applyTheme, currentTheme } from "./settings/theme.ts";
import { takeAddressWords } from "./sign-in/address-words.ts";

const address = takeAddressWords();
applyTheme(currentTheme());

const queries = new QueryClient({
  defaultOptions: { queries: { refetchOnWindowFocus: false, retry: false } },
});
const root = document.getElementById("root");
if (!root) throw new Error("no root element");

// Not awaited at the top level: a module that waits cannot share code with lazy pages.
void loadSpoken().then((spoken) => {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <WordsProvider start={spoken}>
          <Tooltip.Provider>
            <ToastProvider>
              <StepUpProvider>
                <App address={address} />
              </StepUpProvider>
            </ToastProvider>
          </Tooltip.Provider>
        </WordsProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
});
