// What the meter pages can do beyond links and forms. Every page works without it.
