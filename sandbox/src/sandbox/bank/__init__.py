"""The bank: a maker of cash-flow data, and the API that hands it out."""
