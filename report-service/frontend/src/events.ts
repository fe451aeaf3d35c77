// What the parts of a page tell each other.
export const figuresChanged = "wattbook:figures"; // a CustomEvent<Set<string>>: the names of the slots
