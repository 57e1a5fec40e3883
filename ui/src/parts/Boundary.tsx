import { Component, type ReactNode } from "react";
import { Problem } from "../api/client";
import { ProblemNotice } from "./Notice";

interface Broken {
  error: Error | null;
}

/** What a fault of the page itself leaves standing: a message, and the way to draw it again. */
export class Boundary extends Component<{ children: ReactNode }, Broken> {
  override state: Broken = { error: null };

  static getDerivedStateFromError(error: Error): Broken {
    return { error };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <main id="main" className="broken">
        <ProblemNotice
          problem={new Problem(0, "page", error.message)}
          retry={() => this.setState({ error: null })}
        />
      </main>
    );
  }
}
