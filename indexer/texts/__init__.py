"""Reports and phrases: pairs with images, bridges, towers."""
